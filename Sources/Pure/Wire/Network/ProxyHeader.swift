/// The binary header that a load balancer sends before the first byte of a connection: the PROXY protocol, version 2
/// (haproxy.org, `proxy-protocol.txt` 2.2). Read strictly: what is not exactly such a header is refused.
public struct ProxyHeader: Sendable, Equatable {
  public enum Source: Sendable, Equatable {
    /// The connection stands for itself: the command LOCAL (health checks), or a family that is not known.
    case connection
    case address(NetworkAddress, port: UInt16)
    /// The client came over a unix socket.
    case unix
  }

  public var source: Source

  public enum Fault: Error, Equatable {
    case signature, version, command, family, tooLong, tooShort, extras, checksum
  }

  /// Bytes before the part whose length they state.
  public static let fixedBytes = 16
  /// Longest header that is read; those of load balancers have some hundred bytes.
  public static let maximumBytes = 16 + 4096
  private static let signature: StaticString = "\r\n\r\n\0\r\nQUIT\n"

  /// Bytes of the whole header by its first 16.
  public static func length(_ base: UnsafePointer<UInt8>) throws(Fault) -> Int {
    for index in 0..<12 where base[index] != signature.utf8Start[index] { throw .signature }
    guard base[12] >> 4 == 2 else { throw .version }
    guard base[12] & 15 <= 1 else { throw .command }
    let count = fixedBytes + Int(base[14]) << 8 + Int(base[15])
    guard count <= maximumBytes else { throw .tooLong }
    return count
  }

  /// Reads a whole header: `count` is what `length` said.
  public init(_ base: UnsafePointer<UInt8>, _ count: Int) throws(Fault) {
    guard count >= Self.fixedBytes, try Self.length(base) == count else { throw .tooShort }
    source = .connection
    // Whatever stands behind LOCAL is to be skipped.
    guard base[12] & 15 == 1 else { return }
    let size: Int
    switch base[13] {
    case 0x00: size = 0
    case 0x11: size = 12
    case 0x21: size = 36
    case 0x31: size = 216
    // Datagrams do not come over connections.
    default: throw .family
    }
    guard count >= Self.fixedBytes + size else { throw .tooShort }
    func number(_ at: Int, _ bytes: Int) -> UInt64 {
      (0..<bytes).reduce(0) { $0 << 8 | UInt64(base[at + $1]) }
    }
    switch base[13] {
    case 0x11:
      source = .address(NetworkAddress(v4: UInt32(number(16, 4))), port: UInt16(number(24, 2)))
    case 0x21:
      source = .address(
        NetworkAddress(high: number(16, 8), low: number(24, 8)), port: UInt16(number(48, 2)))
    case 0x31: source = .unix
    // Nobody can tell where the extras of an unknown family begin.
    default: return
    }
    try Self.checkExtras(base, from: Self.fixedBytes + size, count)
  }

  /// The extras must fill the header exactly; a checksum among them must be right (2.2.2).
  private static func checkExtras(_ base: UnsafePointer<UInt8>, from: Int, _ count: Int) throws(Fault) {
    var at = from
    while at < count {
      guard count - at >= 3 else { throw .extras }
      let size = Int(base[at + 1]) << 8 + Int(base[at + 2])
      guard count - at - 3 >= size else { throw .extras }
      if base[at] == 3 {
        guard size == 4 else { throw .extras }
        let value = at + 3
        let given = (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(base[value + $1]) }
        guard checksum(base, count, without: value) == given else { throw .checksum }
      }
      at += 3 + size
    }
  }

  /// CRC32c of the header with zeros where the checksum stands.
  private static func checksum(_ base: UnsafePointer<UInt8>, _ count: Int, without place: Int) -> UInt32 {
    var crc = UInt32.max
    for index in 0..<count {
      crc ^= (place..<(place + 4)).contains(index) ? 0 : UInt32(base[index])
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
    }
    return ~crc
  }
}
