import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Health, version, metrics and the catalogue.
enum OpenEndpoints {
  private struct Health: Encodable {
    var status: String
    var checks: [String: String]
  }

  /// Whether `answer` answers this target when it is asked for by GET.
  static func isOpen(_ target: Target) -> Bool {
    target.verb == nil
      && [["v1", "openapi.json"], ["livez"], ["readyz"], ["version"], ["metrics"], ["metrics", "nodes"]]
        .contains(target.segments)
  }

  /// One copy for all answers.
  private static let document = Array(OpenAPIDocument.text.utf8)

  /// What needs no token; nil when the target is something else.
  static func answer(
    _ target: Target, _ request: HTTPRequest, _ api: APIWorld
  ) async throws(PlatformError) -> HTTPResponse? {
    guard request.method == "GET" || request.method == "HEAD", target.verb == nil else { return nil }
    if target.segments == ["v1", "openapi.json"] {
      var response = HTTPResponse(
        status: 200, headers: [("content-type", "application/json")], body: document)
      response.isShared = true
      return response
    }
    if target.segments == ["metrics", "nodes"] {
      var response = Answer.text("", type: "text/plain; version=0.0.4; charset=utf-8")
      response.body = api.world.telemetry.text(only: target.query["node"])
      return response
    }
    guard target.segments.count == 1 else { return nil }
    switch target.segments[0] {
    case "livez": return Answer.text("ok\n")
    case "readyz": return try await ready(target, api)
    case "version": return try Answer.json(api.version)
    case "metrics":
      return Answer.text(await api.metrics(), type: "text/plain; version=0.0.4; charset=utf-8")
    default: return nil
    }
  }

  private static func ready(_ target: Target, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    var checks: [String: String] = [:]
    checks["nodes"] = await api.fleet.isReady ? "ok" : "finding the instances of the last run"
    do throws(PlatformError) {
      try await api.store.check()
      checks["store"] = "ok"
    } catch { checks["store"] = error.message }
    let good = checks.values.allSatisfy { $0 == "ok" }
    return try Answer.json(
      Health(status: good ? "ok" : "not ready", checks: checks), status: good ? 200 : 503)
  }

  private struct Catalogue: Encodable { var configurations: [Configuration] }

  static func configurations(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    return try Answer.json(Catalogue(configurations: Configuration.catalogue))
  }
}
