public import Domain
public import DriverAPI

/// An instance as its reconciler knows it.
struct LiveInstance: Sendable {
  var id: InstanceID
  var epoch: Int
  var status: InstanceStatus
  var handle: InstanceHandle?
  var createdAt: Timestamp
  var startedAt: Timestamp?
  var lastError: LastError?
  var failedProbes = 0
  /// Its host died: that was the failure, its own end is none.
  var hostDied = false
}

/// A view of a node for the API, taken at one moment.
public struct NodeSnapshot: Sendable {
  public var status: NodeStatusResource
  public var instances: [InstanceResource]
  public var handles: [InstanceID: InstanceHandle]
}
