import Domain
import HTTPModel
import Storage

/// Pages of listings: `page_size` (1 to 1000, default 100) and `page_token`.
enum Paging {
  static func page<Record>(
    _ all: [Record], _ call: Call, key: (Record) -> String
  ) throws(PlatformError) -> ([Record], String?) {
    let size = try size(call)
    var rest = all[...]
    if let token = call.query["page_token"] {
      guard let at = all.firstIndex(where: { key($0) == token }) else {
        throw .invalid(
          "page_token",
          "page_token: '\(token)' is not from the last page, or its item is gone; start again without it")
      }
      rest = all[(at + 1)...]
    }
    let page = Array(rest.prefix(size))
    return (page, rest.count > size ? page.last.map(key) : nil)
  }

  static func size(_ call: Call) throws(PlatformError) -> Int {
    try call.number("page_size", default: 100, in: 1...1000)
  }

  /// A page of the store, less what the caller may not see.
  static func answer<Record, Item: Listed>(
    _ page: Page<Record>, visible: (Record) -> Bool, item: (Record) -> Item
  ) throws(PlatformError) -> HTTPResponse {
    try Answer.json(ListResource(items: page.items.filter(visible).map(item), nextPageToken: page.next))
  }

  static func answer<Record, Item: Listed>(
    _ all: [Record], _ call: Call, key: (Record) -> String, _ item: (Record) -> Item
  ) throws(PlatformError) -> HTTPResponse {
    let (page, next) = try page(all, call, key: key)
    return try Answer.json(ListResource(items: page.map(item), nextPageToken: next))
  }
}

/// `update_mask`: which fields a PATCH changes.
enum UpdateMask {
  static func fields(_ call: Call, known: [String]) throws(PlatformError) -> [String] {
    guard let mask = call.query["update_mask"], !mask.isEmpty else {
      throw .invalid(
        "update_mask",
        "update_mask: missing; name the fields to change, separated by commas: \(known.joined(separator: ", "))"
      )
    }
    let fields = mask.split(separator: ",").map(String.init)
    for field in fields where !known.contains(field) {
      throw .invalid(
        "update_mask", "update_mask: '\(field)' can't be changed; one of \(known.joined(separator: ", "))")
    }
    return fields
  }
}
