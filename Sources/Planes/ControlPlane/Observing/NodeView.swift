public import Domain
public import DriverAPI
import Storage

/// A node and what there is of it, for those who look on: telemetry, meters.
public struct NodeView: Sendable {
  public struct Instance: Sendable {
    public var id: InstanceID
    public var release: Int
    public var status: InstanceStatus
    public var handle: InstanceHandle?
    public var createdAt: Timestamp
    public var zone: String?
  }

  public var id: NodeID
  public var name: String
  public var folder: FolderID
  public var release: Int
  public var spec: NodeSpec
  public var rollOut: RollOutResource
  /// Of a node of models: `NodeStatusResource.reloads`.
  public var reloads: Int
  public var instances: [Instance]
}

extension NodeReconciler {
  func view() -> NodeView {
    NodeView(
      id: id, name: record.name, folder: record.folderID, release: record.release, spec: intent.spec,
      rollOut: rollOutResource(), reloads: reloads,
      instances: instances.values.map {
        NodeView.Instance(
          id: $0.id, release: $0.release, status: $0.status, handle: $0.handle, createdAt: $0.createdAt,
          zone: $0.zone)
      }.sorted { $0.id < $1.id })
  }
}

extension Fleet {
  nonisolated func traffic(of node: NodeID) async -> NodeTraffic? { await sink.traffic(of: node) }
  nonisolated func load(of node: NodeID) async -> NodeLoad? { await sink.load(of: node) }
  nonisolated func outstanding(on instance: InstanceID) async -> Int { await sink.outstanding(on: instance) }

  /// A node as it is now; nil when it is gone.
  public func view(of node: NodeID) async -> NodeView? { await reconcilers[node]?.view() }

  /// All nodes as they are now, by name.
  public func views() async -> [NodeView] {
    var views: [NodeView] = []
    for reconciler in Array(reconcilers.values) { views.append(await reconciler.view()) }
    return views.sorted { ($0.name, $0.id) < ($1.name, $1.id) }
  }
}
