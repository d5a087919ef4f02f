import Domain

/// The head of a copied request, as lines that can be left out and put in.
struct RequestHead: Sendable, Equatable {
  var method: String
  var target: String
  /// In their order; names as they were written.
  var fields: [(name: String, value: String)]

  /// Nil for bytes that are no head.
  init?(_ bytes: [UInt8]) {
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\r\n")
    guard let first = lines.first else { return nil }
    let words = first.split(separator: " ", omittingEmptySubsequences: false)
    guard words.count == 3 else { return nil }
    method = String(words[0])
    target = String(words[1])
    fields = []
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { return nil }
      let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
      fields.append((String(line[..<colon]), String(value)))
    }
  }

  static func == (left: Self, right: Self) -> Bool { left.bytes == right.bytes }

  var bytes: [UInt8] {
    var text = "\(method) \(target) HTTP/1.1\r\n"
    for field in fields { text += "\(field.name): \(field.value)\r\n" }
    return Array(text.utf8)
  }

  mutating func remove(_ names: Set<String>) { fields.removeAll { names.contains($0.name.lowercased()) } }

  mutating func set(_ name: String, _ value: String) {
    remove([name])
    fields.append((name, value))
  }

  /// What a copy for another node never has: credentials for the platform, what names a node, and what asks for a packed answer, which could
  /// not be compared.
  private static let left: Set<String> = [
    "authorization", "x-node-id", "x-node-alias", "x-folder-id", "x-alias-target", "accept-encoding",
    "traceparent", "tracestate", "expect",
  ]

  /// The same request, said to be a copy.
  func copy(requestID: String) -> RequestHead {
    var head = self
    head.remove(Self.left)
    head.set("x-request-id", requestID)
    head.set("x-roost-copy", "1")
    return head
  }
}

extension NodeCall.Content {
  /// The same request, said to be a copy; nil when it can't be read.
  func copy(requestID: String) -> NodeCall.Content? {
    switch self {
    case .execute: self
    case .proxy(let head, let body):
      RequestHead(head).map { .proxy(head: $0.copy(requestID: requestID).bytes, body: body) }
    }
  }

  /// `POST /some/path`; nil for a cell.
  var title: String? {
    guard case .proxy(let head, _) = self, let head = RequestHead(head) else { return nil }
    return "\(head.method) \(head.target.prefix { $0 != "?" })"
  }
}
