/// What nodes and instances use now. Answer of `GET /v1/top`.
public struct TopResource: Sendable, Codable, Equatable {
  public var at: Timestamp
  public var nodes: [NodeUse]
  public var instances: [InstanceUse]

  public init(at: Timestamp, nodes: [NodeUse], instances: [InstanceUse]) {
    self.at = at
    self.nodes = nodes
    self.instances = instances
  }
}

/// What a node uses: its instances added up, and its requests over the last ten seconds or so. What is left out is not known.
public struct NodeUse: Sendable, Codable, Equatable {
  public var id: NodeID
  public var name: String
  public var kind: NodeKind
  public var healthyInstances: Int
  public var instances: Int
  /// Percent of one vCPU.
  public var cpuPercent: Double?
  public var memoryBytes: Int64?
  public var memoryLimitBytes: Int64?
  public var receivedBytesPerSecond: Double?
  public var sentBytesPerSecond: Double?
  /// Requests with instances, and those that wait for one.
  public var running: Int
  public var queued: Int
  public var requestsPerSecond: Double?
  /// Half of the requests, and 99 of 100, took at most so long.
  public var p50Seconds: Double?
  public var p99Seconds: Double?

  public init(
    id: NodeID, name: String, kind: NodeKind, healthyInstances: Int = 0, instances: Int = 0,
    cpuPercent: Double? = nil, memoryBytes: Int64? = nil, memoryLimitBytes: Int64? = nil,
    receivedBytesPerSecond: Double? = nil, sentBytesPerSecond: Double? = nil, running: Int = 0,
    queued: Int = 0, requestsPerSecond: Double? = nil, p50Seconds: Double? = nil, p99Seconds: Double? = nil
  ) {
    self.id = id
    self.name = name
    self.kind = kind
    self.healthyInstances = healthyInstances
    self.instances = instances
    self.cpuPercent = cpuPercent
    self.memoryBytes = memoryBytes
    self.memoryLimitBytes = memoryLimitBytes
    self.receivedBytesPerSecond = receivedBytesPerSecond
    self.sentBytesPerSecond = sentBytesPerSecond
    self.running = running
    self.queued = queued
    self.requestsPerSecond = requestsPerSecond
    self.p50Seconds = p50Seconds
    self.p99Seconds = p99Seconds
  }
}

/// What an instance uses. What is left out is not known: an address is a server elsewhere, a cell without a network has no
/// traffic.
public struct InstanceUse: Sendable, Codable, Equatable {
  public var id: InstanceID
  public var nodeId: NodeID
  public var nodeName: String
  public var release: Int
  public var status: InstanceStatus
  /// Percent of one vCPU.
  public var cpuPercent: Double?
  /// Memory that can't be given back at once; of a cell what it has beyond the state that all share.
  public var memoryBytes: Int64?
  public var memoryLimitBytes: Int64?
  public var receivedBytesPerSecond: Double?
  public var sentBytesPerSecond: Double?
  public var processes: Int?
  /// Percent of the time in which it wanted to run and was held by its limit of vCPU.
  public var throttledPercent: Double?
  /// Requests with it.
  public var running: Int

  public init(
    id: InstanceID, nodeId: NodeID, nodeName: String, release: Int, status: InstanceStatus,
    cpuPercent: Double? = nil, memoryBytes: Int64? = nil, memoryLimitBytes: Int64? = nil,
    receivedBytesPerSecond: Double? = nil, sentBytesPerSecond: Double? = nil, processes: Int? = nil,
    throttledPercent: Double? = nil, running: Int = 0
  ) {
    self.id = id
    self.nodeId = nodeId
    self.nodeName = nodeName
    self.release = release
    self.status = status
    self.cpuPercent = cpuPercent
    self.memoryBytes = memoryBytes
    self.memoryLimitBytes = memoryLimitBytes
    self.receivedBytesPerSecond = receivedBytesPerSecond
    self.sentBytesPerSecond = sentBytesPerSecond
    self.processes = processes
    self.throttledPercent = throttledPercent
    self.running = running
  }
}
