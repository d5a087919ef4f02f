public import Domain
public import DriverAPI
import Planning

/// An instance as its reconciler knows it.
struct LiveInstance: Sendable {
  var id: InstanceID
  var release: Int
  var epoch: Int
  var status: InstanceStatus
  var handle: InstanceHandle?
  var createdAt: Timestamp
  /// When it was made by the uptime: the order of listings. Those of an earlier run come first.
  var madeAt: Duration
  var startedAt: Timestamp?
  var lastError: LastError?
  var failedProbes = 0
  /// Its record could not be written.
  var isUnsaved = false
  /// Why it is being killed: its exit says only that it was.
  var fate: LastError?
  /// Its host died: that was the failure, its own end is none.
  var hostDied = false
  /// The place that it takes, for nodes whose instances can't stand in for each other.
  var slot: String?
  /// Where it is put, for kinds of nodes that have zones.
  var zone: String?
  var probes: ProbeMachine?
  var lastProbe: ProbeResource?
  /// Uptime at which its last probe ended, or its first could begin.
  var probedAt: Duration?
  /// Its address with the name resolved, as the last probe that reached it found.
  var resolved: String?
  var healthySince: Timestamp?
  /// Since when (uptime) it is not in rotation, for those that are replaced when that takes too long.
  var outSince: Duration?
  /// Makes its next probe come now; finished when it is leaving.
  var bell: AsyncStream<Void>.Continuation?
}

/// A view of a node for the API, taken at one moment.
public struct NodeSnapshot: Sendable {
  public var status: NodeStatusResource
  public var instances: [InstanceResource]
  public var handles: [InstanceID: InstanceHandle]
}
