import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Recordings of aliases, and replays of what was recorded.
enum RecordingEndpoints {
  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    return try Answer.json(await api.recordings.status(try await AliasEndpoints.find(call, .view, api)))
  }

  static func set(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let alias = try await AliasEndpoints.find(call, .develop, api)
    try await api.recordings.set(alias, try call.body(SetAliasRecordingRequest.self), by: call.subject)
    try await Audit.record("SetAliasRecording", alias.id.text, call, api)
    return try Answer.json(await api.recordings.status(alias))
  }

  static func delete(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let alias = try await AliasEndpoints.find(call, .develop, api)
    try await api.recordings.remove(alias.id)
    try await Audit.record("DeleteAliasRecording", alias.id.text, call, api)
    return Answer.empty()
  }

  static func replay(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let alias = try await AliasEndpoints.find(call, .develop, api)
    let operation = try await api.replays.start(
      alias, try call.body(ReplayAliasRequest.self), by: call.subject)
    try await Audit.record("ReplayAlias", alias.id.text, call, api)
    return try await OperationEndpoints.started(operation, call, api)
  }

  static func replays(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("page_size", "page_token")
    let alias = try await AliasEndpoints.find(call, .view, api)
    let reports = try await reports(alias, call, api)
    let (page, next) = try Paging.page(reports, call, key: \.id.text)
    return try Answer.json(ListResource(items: page, nextPageToken: next))
  }

  /// By the id of its operation, or `latest`.
  static func report(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let alias = try await AliasEndpoints.find(call, .view, api)
    let reports = try await reports(alias, call, api)
    let wanted = call.segments[1]
    guard let found = wanted == "latest" ? reports.first : reports.first(where: { $0.id.text == wanted })
    else {
      throw PlatformError(
        .notFound,
        "replay: alias '\(alias.name)' has no replay '\(wanted)' that has ended; begin one with: roost alias replay \(alias.name) --against NODE",
        origin: .caller, field: "replay")
    }
    return try Answer.json(found)
  }

  /// The newest first; values of answers are shown to those who could call the node themselves.
  private static func reports(
    _ alias: AliasRecord, _ call: Call, _ api: APIWorld
  ) async throws(PlatformError) -> [ReplayResource] {
    var reports = try await api.replays.reports(of: alias.id)
    guard !MirrorEndpoints.showsValues(alias, call) else { return reports }
    for index in reports.indices { reports[index].worst = reports[index].worst.map(\.withoutValues) }
    return reports
  }
}
