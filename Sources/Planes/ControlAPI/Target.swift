import Domain

/// A request target taken apart: decoded path segments, the `:verb` behind the last one, and the query.
struct Target {
  var segments: [String]
  var verb: String?
  var query: [String: String]

  /// Throws `invalidArgument` for broken percent escapes and repeated query parameters.
  init(_ text: String) throws(PlatformError) {
    let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    var decoded: [String] = []
    var verb: String?
    let raw = parts[0].split(separator: "/", omittingEmptySubsequences: true)
    for (index, segment) in raw.enumerated() {
      var piece = String(segment)
      // A digest holds a colon too: only letters behind the last colon are a verb, and digests have hex digits there.
      if index == raw.count - 1, let colon = piece.lastIndex(of: ":"), !piece.hasPrefix("sha256:") {
        verb = String(piece[piece.index(after: colon)...])
        piece = String(piece[..<colon])
      }
      decoded.append(try Self.percentDecoded(piece, plus: false))
    }
    var query: [String: String] = [:]
    if parts.count == 2, !parts[1].isEmpty {
      for pair in parts[1].split(separator: "&") {
        let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = try Self.percentDecoded(String(sides[0]), plus: true)
        let value = sides.count == 2 ? try Self.percentDecoded(String(sides[1]), plus: true) : ""
        guard query.updateValue(value, forKey: name) == nil else {
          throw .invalid(name, "\(name): given twice in the query; give it once")
        }
      }
    }
    segments = decoded
    self.verb = verb
    self.query = query
  }

  static func percentDecoded(_ text: String, plus: Bool) throws(PlatformError) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "+"), plus {
        bytes.append(UInt8(ascii: " "))
      } else if byte == UInt8(ascii: "%") {
        guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
        else {
          throw PlatformError(
            .invalidArgument, "target: '%' must be followed by two hex digits", origin: .caller)
        }
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    guard let result = String(validating: bytes, as: UTF8.self) else {
      throw PlatformError(.invalidArgument, "target: the path or query is not UTF-8", origin: .caller)
    }
    return result
  }
}
