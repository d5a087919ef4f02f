import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Ramps of aliases. The runner writes the audit events: it also decides by itself.
enum RampEndpoints {
  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    return try Answer.json(try await api.ramps.ramp(of: try await AliasEndpoints.find(call, .view, api)))
  }

  static func start(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let alias = try await AliasEndpoints.find(call, .develop, api)
    let request = try call.body(StartRampRequest.self)
    return try Answer.json(
      try await api.ramps.start(alias, request, by: call.subject, requestID: call.request.requestID),
      status: 201)
  }

  static func pause(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let alias = try await plain(call, api)
    return try Answer.json(
      try await api.ramps.pause(alias, by: call.subject, requestID: call.request.requestID))
  }

  static func resume(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let alias = try await plain(call, api)
    return try Answer.json(
      try await api.ramps.resume(alias, by: call.subject, requestID: call.request.requestID))
  }

  static func promote(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let alias = try await plain(call, api)
    return try Answer.json(
      try await api.ramps.promote(alias, by: call.subject, requestID: call.request.requestID))
  }

  static func abort(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let alias = try await plain(call, api)
    return try Answer.json(
      try await api.ramps.abort(alias, by: call.subject, requestID: call.request.requestID))
  }

  /// The alias of a call that takes nothing else.
  private static func plain(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> AliasRecord {
    try call.allowQuery()
    guard call.request.body.isEmpty else {
      throw .invalid("body", "body: this call takes none; leave it out")
    }
    return try await AliasEndpoints.find(call, .develop, api)
  }
}
