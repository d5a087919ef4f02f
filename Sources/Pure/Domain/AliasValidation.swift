/// Checks of what is asked of an alias. Each error names the field and the fix.
public enum AliasValidation {
  /// Prefix that clients of the compatible system put before the name.
  public static let prefix = "datasphere.user."
  public static let mostShares = 20
  public static let mostRules = 50
  static let mostMetadata = 64
  static let mostMetadataBytes = 256

  /// The name without the prefix.
  public static func bare(_ name: String) -> String {
    name.hasPrefix(prefix) ? String(name.dropFirst(prefix.utf8.count)) : name
  }

  /// A spec that may be stored. `names` are for messages.
  public static func check(
    _ spec: AliasSpec, names: (NodeID) -> String
  ) throws(PlatformError) {
    try check(shares: spec.shares, names: names)
    try check(sticky: spec.sticky)
    guard spec.rules.count <= mostRules else {
      throw .invalid("rules", "rules: \(spec.rules.count) are too many; use at most \(mostRules)")
    }
    for (index, rule) in spec.rules.enumerated() { try check(rule, "rules[\(index)]") }
    guard spec.metadata.count <= mostMetadata else {
      throw .invalid(
        "metadata", "metadata: \(spec.metadata.count) entries are too many; use at most \(mostMetadata)")
    }
    for (key, value) in spec.metadata
    where key.isEmpty || key.utf8.count + value.utf8.count > mostMetadataBytes {
      throw .invalid(
        "metadata",
        "metadata: the entry '\(key.prefix(64))' is empty or longer than \(mostMetadataBytes) bytes with its value"
      )
    }
  }

  private static func check(shares: [AliasShare], names: (NodeID) -> String) throws(PlatformError) {
    guard !shares.isEmpty else { throw .invalid("shares", "shares: none; name at least one node") }
    guard shares.count <= mostShares else {
      throw .invalid("shares", "shares: \(shares.count) are too many; use at most \(mostShares)")
    }
    var seen: Set<NodeID> = []
    for (index, share) in shares.enumerated() {
      guard (0...100).contains(share.weight) else {
        throw .invalid(
          "shares[\(index)].weight",
          "shares[\(index)].weight: \(share.weight) is out of range; use 0 to 100 percent")
      }
      guard seen.insert(share.nodeId).inserted else {
        throw .invalid(
          "shares[\(index)].node", "shares[\(index)].node: '\(names(share.nodeId))' has a share already")
      }
    }
    let sum = shares.reduce(0) { $0 + $1.weight }
    guard sum == 100 else {
      let list = shares.map { "\(names($0.nodeId)) \($0.weight)" }.joined(separator: ", ")
      throw .invalid("shares", "shares: the weights sum to \(sum), not to 100: \(list)")
    }
  }

  private static func check(sticky: AliasStickiness?) throws(PlatformError) {
    guard let sticky else { return }
    switch sticky.by {
    case .caller:
      guard sticky.name == nil else {
        throw .invalid("sticky.name", "sticky.name: by caller there is no name; leave it out")
      }
    case .header, .cookie:
      guard let name = sticky.name, isToken(name) else {
        throw .invalid(
          "sticky.name",
          "sticky.name: '\(sticky.name ?? "")' is no name of a \(sticky.by.rawValue); use letters, digits and '-', at most 64"
        )
      }
    }
  }

  private static func check(_ rule: AliasRule, _ field: String) throws(PlatformError) {
    guard rule.header != nil || rule.pathPrefix != nil || rule.caller != nil else {
      throw .invalid(field, "\(field): it fits every request; give header, pathPrefix or caller")
    }
    if let header = rule.header, !isToken(header) {
      throw .invalid(
        "\(field).header",
        "\(field).header: '\(header)' is no name of a header; use letters, digits and '-', at most 64")
    }
    guard rule.value == nil || rule.header != nil else {
      throw .invalid("\(field).value", "\(field).value: there is no header that could have it")
    }
    if let prefix = rule.pathPrefix, !prefix.hasPrefix("/") || prefix.utf8.count > 1024 {
      throw .invalid(
        "\(field).pathPrefix",
        "\(field).pathPrefix: '\(prefix.prefix(64))' must begin with '/', at most 1024 bytes")
    }
  }

  /// Names that need no quoting in a head, in any case of letters.
  static func isToken(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count)
      && text.utf8.allSatisfy {
        (0x61...0x7a).contains($0 | 0x20) || (0x30...0x39).contains($0) || $0 == 0x2d || $0 == 0x5f
      }
  }
}
