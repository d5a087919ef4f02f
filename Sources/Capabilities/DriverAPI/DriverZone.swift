public import Domain

/// A pool of a driver, in which instances are put.
public struct DriverZone: Sendable, Equatable {
  public var name: String
  /// Where its engine is.
  public var endpoint: String
  /// Why nothing can be started or ended there now, and since when; nil when all is well.
  public var trouble: String?
  public var since: Timestamp?
  /// What its engine said of itself when it was last asked; nil: it never answered.
  public var machine: Machine?

  public struct Machine: Sendable, Equatable {
    public var version: String
    public var cpus: Int
    public var memoryBytes: Int64
    public var storageDriver: String

    public init(version: String, cpus: Int, memoryBytes: Int64, storageDriver: String) {
      self.version = version
      self.cpus = cpus
      self.memoryBytes = memoryBytes
      self.storageDriver = storageDriver
    }
  }

  public init(
    name: String, endpoint: String, trouble: String? = nil, since: Timestamp? = nil, machine: Machine? = nil
  ) {
    self.name = name
    self.endpoint = endpoint
    self.trouble = trouble
    self.since = since
    self.machine = machine
  }
}

/// A zone of a node, with the network of its instances there.
public struct LaunchPlacement: Sendable, Codable, Equatable {
  public var zone: String
  /// nil: a network of the node's own.
  public var subnet: LaunchSubnet?

  public init(zone: String, subnet: LaunchSubnet? = nil) {
    self.zone = zone
    self.subnet = subnet
  }
}

/// A network that several nodes share.
public struct LaunchSubnet: Sendable, Codable, Equatable {
  public var id: SubnetID
  /// `ADDRESS/BITS`.
  public var cidr: String
  /// No way out.
  public var isInternal: Bool

  public init(id: SubnetID, cidr: String, isInternal: Bool) {
    self.id = id
    self.cidr = cidr
    self.isInternal = isInternal
  }
}
