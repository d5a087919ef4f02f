import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Mirrors of aliases.
enum MirrorEndpoints {
  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    return try await status(try await AliasEndpoints.find(call, .view, api), call, api)
  }

  static func set(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let alias = try await AliasEndpoints.find(call, .develop, api)
    try await api.mirrors.set(alias, try call.body(SetAliasMirrorRequest.self), by: call.subject)
    try await Audit.record("SetAliasMirror", alias.id.text, call, api)
    return try await status(alias, call, api)
  }

  static func delete(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let alias = try await AliasEndpoints.find(call, .develop, api)
    try await api.mirrors.remove(alias.id)
    try await Audit.record("DeleteAliasMirror", alias.id.text, call, api)
    return Answer.empty()
  }

  private static func status(
    _ alias: AliasRecord, _ call: Call, _ api: APIWorld
  ) async throws(PlatformError) -> HTTPResponse {
    var status = try await api.mirrors.status(alias)
    if !showsValues(alias, call) { status.worst = status.worst.map(\.withoutValues) }
    return try Answer.json(status)
  }

  /// Values of answers are shown to those who could call the node themselves, and see its logs.
  static func showsValues(_ alias: AliasRecord, _ call: Call) -> Bool {
    do throws(PlatformError) {
      try call.require(.develop, on: alias.folderID)
      return true
    } catch { return false }
  }
}
