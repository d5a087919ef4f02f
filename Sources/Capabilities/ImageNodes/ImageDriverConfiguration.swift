public import Domain

/// What an image driver works with.
public struct ImageDriverConfiguration: Sendable {
  /// The zone of a server that names none.
  public static let usualZone = "local"

  /// Path of the engine's socket.
  public var socket: String
  /// What the engine is called where there are several.
  public var zone: String
  /// Its place among the zones and their number: each takes networks of its own from the pool.
  var place = 0
  var zoneCount = 1
  /// Absolute; tells the containers of this server from those of others.
  public var dataFolder: String
  /// Subnets of nodes are taken from here, a /25 each.
  public var network: NetworkPool
  /// Where logins to registries are looked for: a `config.json` of Docker's.
  public var loginFile: String?
  /// The value of the secret that a node calls so.
  public var secret: @Sendable (NodeID, String) async throws(PlatformError) -> [UInt8]
  public var now: @Sendable () -> Timestamp
  /// A debug line.
  public var log: @Sendable (String) -> Void
  /// A line that a container wrote, for the node's log.
  public var record: @Sendable (NodeID, LogLine) -> Void
  /// The time of the newest line of an instance in the node's log.
  public var newestLine: @Sendable (NodeID, InstanceID) -> String?
  /// The subnets that there are now; nil where they can't be told.
  public var subnets: @Sendable () async -> Set<SubnetID>?

  public init(
    socket: String, zone: String = ImageDriverConfiguration.usualZone, dataFolder: String,
    network: NetworkPool = .default, loginFile: String? = nil,
    secret: @escaping @Sendable (NodeID, String) async throws(PlatformError) -> [UInt8] = {
      (_, name) throws(PlatformError) in
      throw PlatformError(.notFound, "secret '\(name)' does not exist: this server keeps no secrets")
    },
    now: @escaping @Sendable () -> Timestamp, log: @escaping @Sendable (String) -> Void = { _ in },
    record: @escaping @Sendable (NodeID, LogLine) -> Void = { _, _ in },
    newestLine: @escaping @Sendable (NodeID, InstanceID) -> String? = { _, _ in nil },
    subnets: @escaping @Sendable () async -> Set<SubnetID>? = { nil }
  ) {
    self.socket = socket
    self.zone = zone
    self.dataFolder = dataFolder
    self.network = network
    self.loginFile = loginFile
    self.secret = secret
    self.now = now
    self.log = log
    self.record = record
    self.newestLine = newestLine
    self.subnets = subnets
  }

  /// Of the data folder, so that services with different folders leave each other's containers alone.
  var owner: String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in dataFolder.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return String(hash, radix: 16)
  }
}

/// IPv4 addresses from which networks of nodes are cut.
public struct NetworkPool: Sendable, Equatable {
  let base: UInt32
  let bits: Int
  static let subnetBits = 25

  public static let `default` = NetworkPool(base: 10 << 24 | 213 << 16, bits: 16)

  /// The pool that a server has that was given this one.
  public static func text(_ given: String?) -> String { given ?? "10.213.0.0/16" }

  private init(base: UInt32, bits: Int) {
    self.base = base
    self.bits = bits
  }

  /// `10.213.0.0/16`; at least a /25.
  public init?(_ text: String) {
    let sides = text.split(separator: "/", omittingEmptySubsequences: false)
    guard sides.count == 2, let bits = Int(sides[1]), (8...Self.subnetBits).contains(bits) else { return nil }
    let parts = sides[0].split(separator: ".", omittingEmptySubsequences: false).compactMap { UInt8($0) }
    guard parts.count == 4 else { return nil }
    let base = parts.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    guard base & (UInt32.max >> UInt32(bits)) == 0 else { return nil }
    self.init(base: base, bits: bits)
  }

  /// How many subnets there are.
  var count: Int { 1 << (Self.subnetBits - bits) }

  /// A subnet as an engine takes it.
  func subnet(_ index: Int) -> String {
    let address = base + UInt32(index % count) << UInt32(32 - Self.subnetBits)
    let parts = [24, 16, 8, 0].map { String(address >> UInt32($0) & 255) }
    return "\(parts.joined(separator: "."))/\(Self.subnetBits)"
  }

  /// Subnets in the order in which a node tries them: each node begins elsewhere. Of several zones each has its own, since
  /// their engines, which don't know of each other, share this machine's routes.
  func candidates(for node: NodeID, place: Int = 0, of zones: Int = 1) -> [String] {
    let start = Int(node.text.utf8.reduce(UInt32(5381)) { $0 &* 33 &+ UInt32($1) } % UInt32(count))
    return (0..<min(count, 512)).map { start + $0 }.filter { $0 % count % zones == place }.map { subnet($0) }
  }
}
