import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Aliases by files: one call that creates or changes, and the request that an alias is made of.
extension AliasEndpoints {
  /// `POST /v1/aliases:apply`, the body of a creation. `dry_run=true` checks all and does nothing; it takes the nodes that
  /// `new_nodes=NAME,NAME` names for made.
  static func apply(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("dry_run", "new_nodes")
    let isDryRun = try NodeEndpoints.dryRun(call)
    let expected = Set((call.query["new_nodes"] ?? "").split(separator: ",").map(String.init))
    let request = try call.body(CreateAliasRequest.self)
    let folder = try await FolderEndpoints.find(request.folder ?? "default", field: "folder", api)
    try call.require(.develop, on: folder.id)
    let name = AliasValidation.bare(request.name)
    let former = try await api.store.allAliases().first { $0.name == name }
    if let former { try call.require(.develop, on: former.folderID) }
    let applied = try await api.aliases.apply(
      request, to: former, folder: folder, acl: try await NodeEndpoints.folders(request.acl ?? [], api),
      expected: expected, isDryRun: isDryRun, by: call.subject)
    if !isDryRun, applied.action != .unchanged, let record = applied.record {
      let event = applied.action == .created ? "CreateAlias" : "UpdateAlias"
      try await Audit.record(event, record.id.text, call, api)
    }
    return try Answer.json(
      ApplyResource(resource: "alias", name: name, action: applied.action, changes: applied.changes))
  }

  /// `GET /v1/aliases/{id}/request`: applied again it changes nothing.
  static func request(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    return try Answer.json(try await api.aliases.request(of: try await find(call, .view, api)))
  }
}
