import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// What nodes and instances use.
enum TopEndpoints {
  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("node")
    let nodes: [NodeRecord] =
      if let name = call.query["node"] {
        [try await NodeEndpoints.find(name, call, .view, api)]
      } else {
        try await api.store.allNodes().filter { call.sees($0.folderID) }
      }
    let shown = Set(nodes.map(\.id))
    var top = api.world.meters.top(at: api.world.now()) { shown.contains($0) }
    // A node that is new has not been looked at yet: it is there, and what it uses is not known.
    for node in nodes where !top.nodes.contains(where: { $0.id == node.id }) {
      let instances = await api.fleet.snapshot(of: node.id)?.instances ?? []
      top.nodes.append(
        NodeUse(
          id: node.id, name: node.name,
          kind: try StoredJSON.value(NodeIntent.self, from: node.specJSON).spec.kind,
          healthyInstances: instances.count { $0.status == .healthy }, instances: instances.count))
    }
    top.nodes.sort { ($0.name, $0.id) < ($1.name, $1.id) }
    return try Answer.json(top)
  }
}
