import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Instances of all nodes.
enum InstanceEndpoints {
  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("node", "page_size", "page_token")
    let nodes: [NodeRecord] =
      if let name = call.query["node"] {
        [try await NodeEndpoints.find(name, call, .view, api)]
      } else {
        try await api.store.allNodes().filter { call.sees($0.folderID) }.sorted { $0.name < $1.name }
      }
    var all: [InstanceResource] = []
    for node in nodes { all += await api.fleet.snapshot(of: node.id)?.instances ?? [] }
    return try Paging.answer(all, call, key: \.id.text) { $0 }
  }

  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    return try Answer.json(try await find(call.segments[0], call, api))
  }

  /// Kills, freezes or slows one, for drills.
  static func disturb(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let found = try await find(call.segments[0], call, api)
    let node = try await NodeEndpoints.find(found.nodeId.text, call, .develop, api)
    let request = try call.body(DisturbRequest.self)
    try await Audit.record("DisturbInstance", found.id.text, call, api)
    try await api.disturber.disturb(found.id, of: node, request)
    return Answer.empty()
  }

  /// Instances come and go: one that is not there any more is the common case.
  private static func find(_ text: String, _ call: Call, _ api: APIWorld) async throws(PlatformError)
    -> InstanceResource
  {
    if let id = InstanceID(text) {
      var nodes = try await api.store.allNodes().filter { call.sees($0.folderID) }
      // One that is being started is not in the store yet.
      if let record = try await api.store.instance(id) { nodes.removeAll { $0.id != record.nodeID } }
      for node in nodes {
        let found = await api.fleet.snapshot(of: node.id)?.instances.first { $0.id == id }
        guard let found else { continue }
        try call.require(.view, on: node.folderID)
        return found
      }
    }
    throw PlatformError(
      .notFound,
      "instance: no instance '\(text)'; it may have been replaced; list them with: roost instance list",
      origin: .caller, field: "instance")
  }
}
