import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Nodes that take the place of others in aliases.
enum ReplaceEndpoints {
  static func replace(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let (node, request, _) = try await planned(call, api)
    let operation = try await api.replacer.begin(node, request, by: call.subject)
    try await Audit.record("ReplaceNode", node.id.text, call, api)
    return try await OperationEndpoints.started(operation, call, api)
  }

  /// What `replace` would do; nothing is changed.
  static func plan(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try Answer.json(try await planned(call, api).plan)
  }

  private static func planned(
    _ call: Call, _ api: APIWorld
  ) async throws(PlatformError) -> (node: NodeRecord, request: ReplaceNodeRequest, plan: ReplacePlanResource)
  {
    try call.allowQuery()
    let node = try await NodeEndpoints.find(call, .develop, api)
    let request = try call.body(ReplaceNodeRequest.self)
    let (plan, successor) = try await api.replacer.plan(node, request)
    try call.require(.develop, on: successor.folderID)
    for share in plan.aliases {
      try call.require(.develop, on: try await api.store.alias(named: share.aliasId.text).folderID)
    }
    return (node, request, plan)
  }
}
