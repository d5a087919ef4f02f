extension JSONValue {
  /// The text with other values at `places`, of the same kind, so that who reads types is still served; how many there were.
  public func redacted(_ places: [JSONPlace]) -> (value: JSONValue, count: Int) {
    guard !places.isEmpty else { return (self, 0) }
    var path: [String] = []
    var count = 0
    return (Self.redacted(self, places, &path, &count), count)
  }

  /// What stands for a text that was taken out.
  public static let redactedText = "[redacted]"

  private static func redacted(
    _ value: JSONValue, _ places: [JSONPlace], _ path: inout [String], _ count: inout Int
  ) -> JSONValue {
    if places.contains(where: { $0.fits(path) }) {
      count += 1
      return empty(value)
    }
    switch value {
    case .object(let object):
      var members: [(key: String, value: JSONValue)] = []
      for member in object.members {
        path.append(member.key)
        members.append((member.key, redacted(member.value, places, &path, &count)))
        path.removeLast()
      }
      return .object(JSONObject(members))
    case .array(let items):
      var found: [JSONValue] = []
      for (index, item) in items.enumerated() {
        path.append(String(index))
        found.append(redacted(item, places, &path, &count))
        path.removeLast()
      }
      return .array(found)
    default: return value
    }
  }

  private static func empty(_ value: JSONValue) -> JSONValue {
    switch value {
    case .null: .null
    case .bool: .bool(false)
    case .integer: .integer(0)
    case .double: .double(0)
    case .string: .string(redactedText)
    case .array: .array([])
    case .object: .object(JSONObject())
    }
  }
}
