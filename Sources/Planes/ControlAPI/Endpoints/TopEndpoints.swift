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
    return try Answer.json(api.world.meters.top(at: api.world.now()) { shown.contains($0) })
  }
}
