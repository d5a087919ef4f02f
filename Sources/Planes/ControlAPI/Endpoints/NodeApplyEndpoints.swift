import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Nodes by files: one call that creates or changes, and the request that a node is made of.
extension NodeEndpoints {
  /// `POST /v1/nodes:apply`, the body of a creation. `dry_run=true` checks all and does nothing.
  static func apply(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("dry_run")
    let isDryRun = try dryRun(call)
    let request = try call.body(CreateNodeRequest.self)
    let (project, folder, acl) = try await owners(request, call, api)
    let applied = try await api.nodes.apply(
      request, project: project, folder: folder, acl: acl, isDryRun: isDryRun, by: call.subject)
    var operation: OperationResource?
    if let record = applied.operation {
      let event = applied.action == .created ? "CreateNode" : "UpdateNode"
      try await Audit.record(event, record.resourceID, call, api)
      operation = try await OperationEndpoints.resource(record, call, api)
    }
    return try Answer.json(
      ApplyResource(
        name: request.name, action: applied.action, changes: applied.changes,
        makesRelease: applied.makesRelease, operation: operation))
  }

  static func dryRun(_ call: Call) throws(PlatformError) -> Bool {
    switch call.query["dry_run"] {
    case nil, "false": return false
    case "true": return true
    case .some(let text): throw .invalid("dry_run", "dry_run: '\(text)' must be true or false")
    }
  }

  /// `GET /v1/nodes/{id}/request`: applied again it changes nothing.
  static func request(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    return try Answer.json(try await api.nodes.request(of: try await find(call, .view, api)))
  }
}
