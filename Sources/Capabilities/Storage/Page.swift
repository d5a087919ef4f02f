import Domain

/// A part of a listing. Keyset pages: what is added or removed meanwhile neither repeats nor hides other
/// items.
public struct Page<Item: Sendable>: Sendable {
  public var items: [Item]
  /// Give as `after` to get the next page; nil at the end.
  public var next: String?

  public init(items: [Item], next: String?) {
    self.items = items
    self.next = next
  }

  /// Cuts one item more than asked for into a page and its cursor.
  init(_ items: [Item], limit: Int, cursor: (Item) -> String) {
    self.items = Array(items.prefix(limit))
    next = items.count > limit ? self.items.last.map(cursor) : nil
  }

  public func map<Other>(_ transform: (Item) throws -> Other) rethrows -> Page<Other> {
    Page<Other>(items: try items.map(transform), next: next)
  }
}

/// What a page token says: where the last page ended.
enum Cursor {
  static func sequence(_ text: String?) throws(PlatformError) -> Int64 {
    guard let text else { return .max }
    guard let number = Int64(text), number > 0 else { throw wrong(text) }
    return number
  }

  /// A name and an id; names are unique only within their folder.
  static func name(_ text: String?) throws(PlatformError) -> (name: String, id: String) {
    guard let text else { return ("", "") }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2 else { throw wrong(text) }
    return (String(parts[0]), String(parts[1]))
  }

  static func limit(_ limit: Int) -> Int { max(1, min(limit, 1000)) }

  private static func wrong(_ text: String) -> PlatformError {
    .invalid("page_token", "page_token: '\(text)' is not from a listing; use nextPageToken as it was given")
  }
}
