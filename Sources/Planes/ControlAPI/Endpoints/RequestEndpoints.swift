import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// What the gateway did with recent requests.
enum RequestEndpoints {
  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let id = call.segments[0]
    let unknown = PlatformError(
      .notFound,
      "request '\(id)' is not among the recent ones (the gateway remembers some 10,000 on each event loop); look into the access log",
      origin: .caller)
    guard let found = api.requests(id), try await mayLook(found, call, api) else { throw unknown }
    return try Answer.json(found)
  }

  /// Who may view the node; an admin, where no node was found or it has gone.
  private static func mayLook(
    _ request: RequestResource, _ call: Call, _ api: APIWorld
  ) async throws(PlatformError) -> Bool {
    if let id = request.nodeId, let node = try await api.store.node(id) {
      return RoleBinding.allows(.view, subject: call.subject, folder: node.folderID, in: call.bindings)
    }
    return call.bindings.contains { $0.role == .admin }
  }
}
