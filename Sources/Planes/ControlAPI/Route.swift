import Domain
import HTTPModel

/// A method and a path pattern such as `/v1/nodes/*:suspend`, with what answers it.
struct Route: Sendable {
  typealias Handler = @Sendable (Call, APIWorld) async throws(PlatformError) -> HTTPResponse

  let method: String
  let pattern: [String]
  let verb: String?
  let handle: Handler

  init(_ method: String, _ path: String, _ handle: @escaping Handler) {
    self.method = method
    self.handle = handle
    let sides = path.split(separator: ":", maxSplits: 1)
    pattern = sides[0].split(separator: "/").map(String.init)
    verb = sides.count == 2 ? String(sides[1]) : nil
  }

  func matches(_ target: Target) -> Bool {
    verb == target.verb && pattern.count == target.segments.count
      && zip(pattern, target.segments).allSatisfy { $0 == "*" || $0 == $1 }
  }

  func captures(_ target: Target) -> [String] {
    zip(pattern, target.segments).filter { $0.0 == "*" }.map(\.1)
  }
}

/// Every endpoint that needs a caller. A test compares it with `api/openapi.json`.
enum RouteTable {
  static let all: [Route] = [
    Route("GET", "/v1/folders", FolderEndpoints.list),
    Route("POST", "/v1/folders", FolderEndpoints.create),
    Route("GET", "/v1/projects", ProjectEndpoints.list),
    Route("POST", "/v1/projects", ProjectEndpoints.create),
    Route("GET", "/v1/projects/*", ProjectEndpoints.get),
    Route("PATCH", "/v1/projects/*", ProjectEndpoints.update),
    Route("POST", "/v1/projects/*/blobs:missing", BlobEndpoints.missing),
    Route("PUT", "/v1/projects/*/blobs/*", BlobEndpoints.put),
    Route("POST", "/v1/projects/*/uploads", BlobEndpoints.begin),
    Route("PATCH", "/v1/projects/*/uploads/*", BlobEndpoints.append),
    Route("PUT", "/v1/projects/*/uploads/*", BlobEndpoints.commit),
    Route("POST", "/v1/projects/*/checkpoints", CheckpointEndpoints.register),
    Route("GET", "/v1/checkpoints", CheckpointEndpoints.list),
    Route("GET", "/v1/checkpoints/*", CheckpointEndpoints.get),
    Route("POST", "/v1/checkpoints/*:pin", CheckpointEndpoints.pin),
    Route("POST", "/v1/checkpoints/*:unpin", CheckpointEndpoints.unpin),
    Route("PATCH", "/v1/checkpoints/*", CheckpointEndpoints.rename),
    Route("DELETE", "/v1/checkpoints/*", CheckpointEndpoints.delete),
    Route("POST", "/v1/projects/*/models", ModelEndpoints.create),
    Route("GET", "/v1/models", ModelEndpoints.list),
    Route("GET", "/v1/models/*", ModelEndpoints.get),
    Route("GET", "/v1/models/*/content", ModelEndpoints.content),
    Route("DELETE", "/v1/models/*", ModelEndpoints.delete),
    Route("GET", "/v1/nodes", NodeEndpoints.list),
    Route("POST", "/v1/nodes", NodeEndpoints.create),
    Route("POST", "/v1/nodes:validate", NodeEndpoints.validate),
    Route("GET", "/v1/nodes/*", NodeEndpoints.get),
    Route("PATCH", "/v1/nodes/*", NodeEndpoints.update),
    Route("DELETE", "/v1/nodes/*", NodeEndpoints.delete),
    Route("POST", "/v1/nodes/*:suspend", NodeEndpoints.suspend),
    Route("POST", "/v1/nodes/*:resume", NodeEndpoints.resume),
    Route("POST", "/v1/nodes/*:reset", NodeEndpoints.reset),
    Route("POST", "/v1/nodes/*:rollback", NodeEndpoints.rollBack),
    Route("POST", "/v1/nodes/*:replace", ReplaceEndpoints.replace),
    Route("POST", "/v1/nodes/*:replacePlan", ReplaceEndpoints.plan),
    Route("POST", "/v1/nodes:apply", NodeEndpoints.apply),
    Route("GET", "/v1/nodes/*/request", NodeEndpoints.request),
    Route("GET", "/v1/nodes/*/releases", NodeEndpoints.releases),
    Route("GET", "/v1/nodes/*/instances", NodeEndpoints.instances),
    Route("GET", "/v1/nodes/*/scaling", NodeEndpoints.scaling),
    Route("POST", "/v1/nodes/*/scaling:whatIf", WhatIfEndpoints.post),
    Route("GET", "/v1/nodes/*/logs", LogEndpoints.get),
    Route("GET", "/v1/deleted-nodes", LogEndpoints.deletedNodes),
    Route("GET", "/v1/aliases", AliasEndpoints.list),
    Route("POST", "/v1/aliases", AliasEndpoints.create),
    Route("POST", "/v1/aliases:apply", AliasEndpoints.apply),
    Route("GET", "/v1/aliases/*/request", AliasEndpoints.request),
    Route("GET", "/v1/aliases/*", AliasEndpoints.get),
    Route("PATCH", "/v1/aliases/*", AliasEndpoints.update),
    Route("DELETE", "/v1/aliases/*", AliasEndpoints.delete),
    Route("POST", "/v1/aliases/*:hold", AliasEndpoints.hold),
    Route("POST", "/v1/aliases/*:release", AliasEndpoints.release),
    Route("GET", "/v1/aliases/*/mirror", MirrorEndpoints.get),
    Route("PUT", "/v1/aliases/*/mirror", MirrorEndpoints.set),
    Route("DELETE", "/v1/aliases/*/mirror", MirrorEndpoints.delete),
    Route("GET", "/v1/aliases/*/recording", RecordingEndpoints.get),
    Route("PUT", "/v1/aliases/*/recording", RecordingEndpoints.set),
    Route("DELETE", "/v1/aliases/*/recording", RecordingEndpoints.delete),
    Route("POST", "/v1/aliases/*:replay", RecordingEndpoints.replay),
    Route("GET", "/v1/aliases/*/replays", RecordingEndpoints.replays),
    Route("GET", "/v1/aliases/*/replays/*", RecordingEndpoints.report),
    Route("GET", "/v1/aliases/*/ramp", RampEndpoints.get),
    Route("POST", "/v1/aliases/*:ramp", RampEndpoints.start),
    Route("POST", "/v1/aliases/*:pause", RampEndpoints.pause),
    Route("POST", "/v1/aliases/*:resume", RampEndpoints.resume),
    Route("POST", "/v1/aliases/*:promote", RampEndpoints.promote),
    Route("POST", "/v1/aliases/*:abort", RampEndpoints.abort),
    Route("GET", "/v1/environments", EnvironmentEndpoints.list),
    Route("POST", "/v1/environments", EnvironmentEndpoints.create),
    Route("GET", "/v1/environments/*", EnvironmentEndpoints.get),
    Route("DELETE", "/v1/environments/*", EnvironmentEndpoints.delete),
    Route("GET", "/v1/environments/*/logs", EnvironmentEndpoints.logs),
    Route("POST", "/v1/environments/*:check", EnvironmentEndpoints.check),
    Route("GET", "/v1/instances", InstanceEndpoints.list),
    Route("GET", "/v1/instances/*", InstanceEndpoints.get),
    Route("POST", "/v1/instances/*:disturb", InstanceEndpoints.disturb),
    Route("GET", "/nodes/*/openapi.json", ContractEndpoints.openAPI),
    Route("GET", "/nodes/*/node.proto", ContractEndpoints.proto),
    Route("GET", "/v1/operations", OperationEndpoints.list),
    Route("GET", "/v1/operations/*", OperationEndpoints.get),
    Route("POST", "/v1/operations/*:cancel", OperationEndpoints.cancel),
    Route("GET", "/v1/tokens", TokenEndpoints.list),
    Route("POST", "/v1/tokens", TokenEndpoints.create),
    Route("DELETE", "/v1/tokens/*", TokenEndpoints.revoke),
    Route("GET", "/v1/serviceAccounts", ServiceAccountEndpoints.list),
    Route("POST", "/v1/serviceAccounts", ServiceAccountEndpoints.create),
    Route("POST", "/v1/serviceAccounts/*:grant", ServiceAccountEndpoints.grant),
    Route("DELETE", "/v1/serviceAccounts/*", ServiceAccountEndpoints.delete),
    Route("GET", "/v1/serviceAccounts/*/keys", KeyEndpoints.list),
    Route("POST", "/v1/serviceAccounts/*/keys", KeyEndpoints.create),
    Route("DELETE", "/v1/serviceAccounts/*/keys/*", KeyEndpoints.delete),
    Route("GET", "/v1/serviceAccounts/*/apiKeys", APIKeyEndpoints.list),
    Route("POST", "/v1/serviceAccounts/*/apiKeys", APIKeyEndpoints.create),
    Route("DELETE", "/v1/serviceAccounts/*/apiKeys/*", APIKeyEndpoints.delete),
    Route("GET", "/v1/secrets", SecretEndpoints.list),
    Route("POST", "/v1/secrets", SecretEndpoints.create),
    Route("POST", "/v1/secrets:rotateKey", SecretEndpoints.rotateKey),
    Route("GET", "/v1/secrets/*", SecretEndpoints.get),
    Route("PATCH", "/v1/secrets/*", SecretEndpoints.update),
    Route("DELETE", "/v1/secrets/*", SecretEndpoints.delete),
    Route("GET", "/v1/zones", ZoneEndpoints.list),
    Route("GET", "/v1/zones/*", ZoneEndpoints.get),
    Route("GET", "/v1/subnets", SubnetEndpoints.list),
    Route("POST", "/v1/subnets", SubnetEndpoints.create),
    Route("GET", "/v1/subnets/*", SubnetEndpoints.get),
    Route("DELETE", "/v1/subnets/*", SubnetEndpoints.delete),
    Route("GET", "/v1/top", TopEndpoints.get),
    Route("GET", "/v1/requests/*", RequestEndpoints.get),
    Route("GET", "/v1/server", ServerEndpoints.get),
    Route("GET", "/v1/configurations", OpenEndpoints.configurations),
  ]
}
