/// An entry of the catalogue of instance sizes.
public struct Configuration: Sendable, Codable, Equatable {
  public var name: String
  public var cpus: Double
  public var memoryBytes: Int64
  public var gpus: Int
  /// Billing units burnt in a second by one instance.
  public var unitsPerSecond: Double

  public init(name: String, cpus: Double, memoryBytes: Int64, gpus: Int = 0, unitsPerSecond: Double) {
    self.name = name
    self.cpus = cpus
    self.memoryBytes = memoryBytes
    self.gpus = gpus
    self.unitsPerSecond = unitsPerSecond
  }

  /// The entries that a new installation has.
  public static let catalogue: [Configuration] = [
    .init(name: "c1.4", cpus: 4, memoryBytes: 32 << 30, unitsPerSecond: 4),
    .init(name: "c1.8", cpus: 8, memoryBytes: 64 << 30, unitsPerSecond: 8),
    .init(name: "c1.32", cpus: 32, memoryBytes: 256 << 30, unitsPerSecond: 32),
    .init(name: "c1.80", cpus: 80, memoryBytes: 640 << 30, unitsPerSecond: 80),
    .init(name: "g1.1", cpus: 8, memoryBytes: 96 << 30, gpus: 1, unitsPerSecond: 72),
    .init(name: "g2.1", cpus: 28, memoryBytes: 119 << 30, gpus: 1, unitsPerSecond: 116),
  ]

  /// Throws `invalidArgument` that lists the catalogue when there is no such entry.
  public static func named(_ name: String) throws(PlatformError) -> Configuration {
    if let entry = catalogue.first(where: { $0.name == name }) { return entry }
    let names = catalogue.map(\.name).joined(separator: ", ")
    throw .invalid("configuration", "configuration: '\(name)' is not in the catalogue; use one of \(names)")
  }
}
