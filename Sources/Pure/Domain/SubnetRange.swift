/// A range of IPv4 addresses, like `10.77.0.0/24`.
public struct SubnetRange: Sendable, Equatable, CustomStringConvertible {
  public let base: UInt32
  public let bits: Int

  /// nil unless it is four numbers and a length, and every bit behind the length is 0.
  public init?(_ text: String) {
    let sides = text.split(separator: "/", omittingEmptySubsequences: false)
    guard sides.count == 2, let bits = Int(sides[1]), (0...32).contains(bits), String(bits) == sides[1] else {
      return nil
    }
    let parts = sides[0].split(separator: ".", omittingEmptySubsequences: false)
    let bytes = parts.compactMap { part in UInt8(part).flatMap { String($0) == part ? $0 : nil } }
    guard parts.count == 4, bytes.count == 4 else { return nil }
    let base = bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    guard bits == 0 ? base == 0 : base & ~Self.mask(bits) == 0 else { return nil }
    self.base = base
    self.bits = bits
  }

  private static func mask(_ bits: Int) -> UInt32 { bits == 0 ? 0 : UInt32.max << UInt32(32 - bits) }

  /// Whether the two have an address in common.
  public func overlaps(_ other: SubnetRange) -> Bool {
    let mask = Self.mask(min(bits, other.bits))
    return base & mask == other.base & mask
  }

  /// Whether all of it is in the other.
  public func isWithin(_ other: SubnetRange) -> Bool { bits >= other.bits && overlaps(other) }

  public var description: String {
    let parts = [24, 16, 8, 0].map { String(base >> UInt32($0) & 255) }
    return "\(parts.joined(separator: "."))/\(bits)"
  }
}

/// Checks of what users say about subnets and zones. Pure.
public enum SubnetValidation {
  private static let privateRanges = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]

  /// - Parameters:
  ///   - taken: other networks of this server, by what they are called.
  public static func range(
    _ cidr: String, taken: [(name: String, range: SubnetRange)]
  ) throws(PlatformError) -> SubnetRange {
    guard let range = SubnetRange(cidr) else {
      throw .invalid(
        "cidr", "cidr: '\(cidr)' is not a range like 10.77.0.0/24 (the bits behind the length must be 0)")
    }
    guard (16...28).contains(range.bits) else {
      throw .invalid("cidr", "cidr: the length must lie between /16 and /28, '\(cidr)' has /\(range.bits)")
    }
    guard privateRanges.compactMap({ SubnetRange($0) }).contains(where: range.isWithin) else {
      throw .invalid(
        "cidr",
        "cidr: '\(cidr)' is not private; take a range of \(privateRanges.joined(separator: ", "))")
    }
    if let other = taken.first(where: { $0.range.overlaps(range) }) {
      throw .invalid("cidr", "cidr: '\(cidr)' overlaps \(other.name) (\(other.range)); take another range")
    }
    return range
  }

  /// What a node says of its zones.
  ///
  /// - Parameter known: the zones that its kind can be put in.
  public static func check(_ zones: [ZonePlacement], known: [String], kind: NodeKind) throws(PlatformError) {
    for (index, zone) in zones.enumerated() {
      guard known.contains(zone.zone) else {
        let there =
          known.count == 1 ? "one zone, \(known[0])" : "the zones \(known.joined(separator: ", "))"
        throw .invalid(
          "zones[\(index)].zone",
          "zones[\(index)].zone: '\(zone.zone)' is unknown; this server has \(there) for nodes of kind \(kind.rawValue)"
        )
      }
      guard !zones[..<index].contains(where: { $0.zone == zone.zone }) else {
        throw .invalid("zones[\(index)].zone", "zones[\(index)].zone: '\(zone.zone)' is given twice")
      }
      if zone.subnet != nil, kind != .image {
        throw .invalid(
          "zones[\(index)].subnet", "zones[\(index)].subnet: belongs to nodes of kind image; leave it out")
      }
    }
  }
}
