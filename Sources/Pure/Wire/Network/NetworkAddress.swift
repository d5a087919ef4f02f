/// A numeric address of IPv4 or IPv6. Addresses of IPv4 inside IPv6 (`::ffff:192.0.2.1`) are those of IPv4.
public struct NetworkAddress: Sendable, Hashable {
  /// The 128 bits of IPv6, most significant first; IPv4 stands in the form `::ffff:0:0/96`.
  public let high: UInt64
  public let low: UInt64

  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  public init(v4 bits: UInt32) { self.init(high: 0, low: 0xffff_0000_0000 | UInt64(bits)) }

  /// Whether it is an address of IPv4.
  public var isV4: Bool { high == 0 && low >> 32 == 0xffff }

  /// Reads `192.0.2.1` or `2001:db8::1`; nil for anything else: leading zeros, zones, brackets.
  public init?(_ text: some StringProtocol) {
    if let bits = Self.v4(text) {
      self.init(v4: bits)
    } else if let (high, low) = Self.v6(text) {
      self.init(high: high, low: low)
    } else {
      return nil
    }
  }

  private static func v4(_ text: some StringProtocol) -> UInt32? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var bits: UInt32 = 0
    for part in parts {
      guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
        part.utf8.count == 1 || part.utf8.first != 0x30, let byte = UInt8(part)
      else { return nil }
      bits = bits << 8 | UInt32(byte)
    }
    return bits
  }

  private static func v6(_ text: some StringProtocol) -> (UInt64, UInt64)? {
    var head: [UInt16] = []
    var tail: [UInt16] = []
    let halves = text.split(separator: "::", maxSplits: 2, omittingEmptySubsequences: false)
    guard halves.count <= 2, !text.isEmpty else { return nil }
    for (index, half) in halves.enumerated() {
      guard let groups = groups(String(half), isLast: index == halves.count - 1) else { return nil }
      if index == 0 { head = groups } else { tail = groups }
    }
    // `::` stands for at least one group.
    guard halves.count == 2 ? head.count + tail.count <= 7 : head.count == 8 else { return nil }
    let all = head + [UInt16](repeating: 0, count: 8 - head.count - tail.count) + tail
    func join(_ groups: ArraySlice<UInt16>) -> UInt64 { groups.reduce(0) { $0 << 16 | UInt64($1) } }
    return (join(all[0..<4]), join(all[4..<8]))
  }

  private static func groups(_ text: String, isLast: Bool) -> [UInt16]? {
    guard !text.isEmpty else { return [] }
    var result: [UInt16] = []
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    for (index, part) in parts.enumerated() {
      if isLast, index == parts.count - 1, let bits = v4(part) {
        result += [UInt16(bits >> 16), UInt16(truncatingIfNeeded: bits)]
        continue
      }
      guard (1...4).contains(part.utf8.count), part.first != "+", part.first != "-",
        let group = UInt16(part, radix: 16)
      else { return nil }
      result.append(group)
    }
    return result.count <= 8 ? result : nil
  }
}

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.
public struct NetworkRange: Sendable, Hashable {
  private let first: NetworkAddress
  private let maskHigh: UInt64
  private let maskLow: UInt64

  /// Nil when the text is no range, or when bits of the address lie behind its length (`10.0.0.1/8`).
  public init?(_ text: some StringProtocol) {
    let sides = text.split(separator: "/", omittingEmptySubsequences: false)
    guard sides.count <= 2, let address = NetworkAddress(sides[0]) else { return nil }
    let most = address.isV4 && !sides[0].contains(":") ? 32 : 128
    var length = most
    if sides.count == 2 {
      let digits = sides[1].utf8
      guard (1...3).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }),
        let given = Int(sides[1]), given <= most
      else { return nil }
      length = given
    }
    let bits = length + 128 - most
    maskHigh = bits >= 64 ? .max : bits == 0 ? 0 : UInt64.max << UInt64(64 - bits)
    maskLow = bits >= 128 ? .max : bits <= 64 ? 0 : UInt64.max << UInt64(128 - bits)
    guard address.high & ~maskHigh == 0, address.low & ~maskLow == 0 else { return nil }
    first = address
  }

  public func contains(_ address: NetworkAddress) -> Bool {
    address.high & maskHigh == first.high && address.low & maskLow == first.low
  }
}

/// Who is believed: ranges of addresses, and perhaps whoever may open our unix sockets.
public struct NetworkPeers: Sendable, Hashable {
  public var ranges: [NetworkRange]
  /// Peers of unix sockets, whom the mode of the socket's file has chosen already.
  public var includesUnix: Bool

  public init(ranges: [NetworkRange] = [], includesUnix: Bool = false) {
    self.ranges = ranges
    self.includesUnix = includesUnix
  }

  /// Reads a list such as `10.0.0.0/8,fd00::/8,unix`. Throws the entry that is none.
  public init(list: some StringProtocol) throws(BadEntry) {
    self.init()
    for entry in list.split(separator: ",", omittingEmptySubsequences: false) {
      if entry == "unix" {
        includesUnix = true
      } else if let range = NetworkRange(entry) {
        ranges.append(range)
      } else {
        throw BadEntry(text: String(entry))
      }
    }
  }

  /// An entry of a list that is neither a range nor `unix`.
  public struct BadEntry: Error, Equatable { public var text: String }

  /// Nil stands for the peer of a unix socket.
  public func contain(_ address: NetworkAddress?) -> Bool {
    guard let address else { return includesUnix }
    return ranges.contains { $0.contains(address) }
  }
}
