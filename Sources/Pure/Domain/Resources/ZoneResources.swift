/// A pool in which instances of image nodes are put: one container engine.
public struct ZoneResource: Sendable, Codable, Equatable {
  public var name: String
  /// `UP`, `DOWN`, or `UNKNOWN` until its engine was first asked.
  public var status: String
  /// Why it is down, and since when.
  public var message: String?
  public var since: Timestamp?
  /// Path of the engine's socket.
  public var engine: String
  /// What the engine said when it was last asked.
  public var engineVersion: String?
  public var cpus: Int?
  public var memoryBytes: Int64?
  public var storageDriver: String?
  /// Of the nodes that the caller sees.
  public var instances: Int
  public var healthyInstances: Int

  public init(
    name: String, status: String, message: String? = nil, since: Timestamp? = nil, engine: String,
    engineVersion: String? = nil, cpus: Int? = nil, memoryBytes: Int64? = nil, storageDriver: String? = nil,
    instances: Int, healthyInstances: Int
  ) {
    self.name = name
    self.status = status
    self.message = message
    self.since = since
    self.engine = engine
    self.engineVersion = engineVersion
    self.cpus = cpus
    self.memoryBytes = memoryBytes
    self.storageDriver = storageDriver
    self.instances = instances
    self.healthyInstances = healthyInstances
  }
}

/// A network that image nodes of a folder share, in one zone.
public struct SubnetResource: Sendable, Codable, Equatable {
  public var id: SubnetID
  public var name: String
  public var folderId: FolderID
  public var zone: String
  /// `ADDRESS/BITS`.
  public var cidr: String
  /// Instances reach nothing outside.
  public var `internal`: Bool
  public var createdAt: Timestamp
  public var createdBy: String
  /// Names of the nodes that use it; only of a single subnet.
  public var usedBy: [String]?

  public init(
    id: SubnetID, name: String, folderId: FolderID, zone: String, cidr: String, internal: Bool,
    createdAt: Timestamp, createdBy: String, usedBy: [String]? = nil
  ) {
    self.id = id
    self.name = name
    self.folderId = folderId
    self.zone = zone
    self.cidr = cidr
    self.internal = `internal`
    self.createdAt = createdAt
    self.createdBy = createdBy
    self.usedBy = usedBy
  }
}

public struct CreateSubnetRequest: Sendable, Codable, Equatable {
  public var name: String
  /// Id or name; left out: `default`.
  public var folder: String?
  /// Left out: the server's first zone.
  public var zone: String?
  /// `ADDRESS/BITS` of a private range, /16 to /28.
  public var cidr: String
  /// No way out.
  public var `internal`: Bool?

  public init(
    name: String, folder: String? = nil, zone: String? = nil, cidr: String, internal: Bool? = nil
  ) {
    self.name = name
    self.folder = folder
    self.zone = zone
    self.cidr = cidr
    self.internal = `internal`
  }
}
