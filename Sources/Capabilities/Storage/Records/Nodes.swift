public import Domain

/// What the user wants of a node. `deletedAt` is a tombstone: it is being deleted.
public struct NodeRecord: Sendable, Codable, Equatable {
  public var id: NodeID
  public var folderID: FolderID
  public var projectID: ProjectID
  public var name: String
  /// Grows by one with each change of the wish.
  public var generation: Int
  public var specJSON: String
  public var release: Int
  /// What a cell node is made of; nil for other kinds.
  public var checkpointID: CheckpointID?
  public var suspended: Bool
  public var deletedAt: Timestamp?
  public var createdAt: Timestamp
  public var createdBy: String
  public var updatedAt: Timestamp

  public init(
    id: NodeID, folderID: FolderID, projectID: ProjectID, name: String, generation: Int = 1,
    specJSON: String, release: Int = 1, checkpointID: CheckpointID? = nil, suspended: Bool = false,
    deletedAt: Timestamp? = nil, createdAt: Timestamp, createdBy: String, updatedAt: Timestamp
  ) {
    self.id = id
    self.folderID = folderID
    self.projectID = projectID
    self.name = name
    self.generation = generation
    self.specJSON = specJSON
    self.release = release
    self.checkpointID = checkpointID
    self.suspended = suspended
    self.deletedAt = deletedAt
    self.createdAt = createdAt
    self.createdBy = createdBy
    self.updatedAt = updatedAt
  }
}

extension NodeRecord: SQLiteRecord {
  static let table = "node"
  static let columns = [
    "id", "folder_id", "project_id", "name", "generation", "spec_json", "release", "checkpoint_id",
    "suspended", "deleted_at", "created_at", "created_by", "updated_at",
  ]
  var values: [any SQLiteStorable] {
    [
      id, folderID, projectID, name, generation, specJSON, release, checkpointID?.text ?? "", suspended,
      deletedAt,
      createdAt, createdBy, updatedAt,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    id = try row.next()
    folderID = try row.next()
    projectID = try row.next()
    name = try row.next()
    generation = try row.next()
    specJSON = try row.next()
    release = try row.next()
    checkpointID = CheckpointID(try row.next(String.self))
    suspended = try row.next()
    deletedAt = try row.next()
    createdAt = try row.next()
    createdBy = try row.next()
    updatedAt = try row.next()
  }
}

/// An immutable numbered snapshot of what a node's instances are made of, and what became of it.
public struct ReleaseRecord: Sendable, Codable, Equatable {
  public var nodeID: NodeID
  public var number: Int
  public var specJSON: String
  public var createdAt: Timestamp
  public var createdBy: String
  /// The release that was wished before it; 0 for none.
  public var former: Int
  /// `[FieldChange]` against `former`.
  public var changesJSON: String
  public var state: ReleaseState
  public var stateAt: Timestamp
  /// Why it has this state; empty when there is nothing to say.
  public var message: String

  public init(
    nodeID: NodeID, number: Int, specJSON: String, createdAt: Timestamp, createdBy: String, former: Int = 0,
    changesJSON: String = "[]", state: ReleaseState = .rollingOut, message: String = ""
  ) {
    self.nodeID = nodeID
    self.number = number
    self.specJSON = specJSON
    self.createdAt = createdAt
    self.createdBy = createdBy
    self.former = former
    self.changesJSON = changesJSON
    self.state = state
    stateAt = createdAt
    self.message = message
  }
}

extension ReleaseRecord: SQLiteRecord {
  static let table = "node_release"
  static let columns = [
    "node_id", "number", "spec_json", "created_at", "created_by", "former", "changes_json", "state",
    "state_at", "message",
  ]
  var values: [any SQLiteStorable] {
    [
      nodeID, number, specJSON, createdAt, createdBy, former, changesJSON, state, stateAt, message,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    nodeID = try row.next()
    number = try row.next()
    specJSON = try row.next()
    createdAt = try row.next()
    createdBy = try row.next()
    former = try row.next()
    changesJSON = try row.next()
    state = try row.next()
    stateAt = try row.next()
    message = try row.next()
  }
}

/// A running copy of a release; `handleJSON` is what the driver needs to find it again.
public struct InstanceRecord: Sendable, Codable, Equatable {
  public var id: InstanceID
  public var nodeID: NodeID
  public var release: Int
  public var handleJSON: String?
  public var status: InstanceStatus
  public var createdAt: Timestamp
  public var startedAt: Timestamp?
  public var deletedAt: Timestamp?
  public var lastErrorJSON: String?

  public init(
    id: InstanceID, nodeID: NodeID, release: Int, handleJSON: String? = nil, status: InstanceStatus,
    createdAt: Timestamp, startedAt: Timestamp? = nil, deletedAt: Timestamp? = nil,
    lastErrorJSON: String? = nil
  ) {
    self.id = id
    self.nodeID = nodeID
    self.release = release
    self.handleJSON = handleJSON
    self.status = status
    self.createdAt = createdAt
    self.startedAt = startedAt
    self.deletedAt = deletedAt
    self.lastErrorJSON = lastErrorJSON
  }
}

extension InstanceRecord: SQLiteRecord {
  static let table = "instance"
  static let columns = [
    "id", "node_id", "release", "handle_json", "status", "created_at", "started_at", "deleted_at",
    "last_error_json",
  ]
  var values: [any SQLiteStorable] {
    [
      id, nodeID, release, handleJSON, status, createdAt, startedAt, deletedAt, lastErrorJSON,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    id = try row.next()
    nodeID = try row.next()
    release = try row.next()
    handleJSON = try row.next()
    status = try row.next()
    createdAt = try row.next()
    startedAt = try row.next()
    deletedAt = try row.next()
    lastErrorJSON = try row.next()
  }
}

/// Billing units that an instance burns from its start to its end.
public struct UsageRecord: Sendable, Codable, Equatable {
  public var instanceID: InstanceID
  public var nodeID: NodeID
  public var configuration: String
  public var unitsPerSecond: Double
  public var startedAt: Timestamp
  public var endedAt: Timestamp?

  public init(
    instanceID: InstanceID, nodeID: NodeID, configuration: String, unitsPerSecond: Double,
    startedAt: Timestamp, endedAt: Timestamp? = nil
  ) {
    self.instanceID = instanceID
    self.nodeID = nodeID
    self.configuration = configuration
    self.unitsPerSecond = unitsPerSecond
    self.startedAt = startedAt
    self.endedAt = endedAt
  }
}

extension UsageRecord: SQLiteRecord {
  static let table = "usage"
  static let columns = [
    "instance_id", "node_id", "configuration", "units_per_second", "started_at", "ended_at",
  ]
  var values: [any SQLiteStorable] {
    [
      instanceID, nodeID, configuration, unitsPerSecond, startedAt, endedAt,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    instanceID = try row.next()
    nodeID = try row.next()
    configuration = try row.next()
    unitsPerSecond = try row.next()
    startedAt = try row.next()
    endedAt = try row.next()
  }
}
