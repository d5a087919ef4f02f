public import Access
public import ControlPlane
public import Domain
public import HTTPModel
public import Storage

/// What the endpoints work with.
public struct APIWorld: Sendable {
  public var world: NodeWorld
  public var fleet: Fleet
  public var nodes: NodeService
  public var aliases: AliasService
  public var replacer: NodeReplacer
  public var zones: ZoneService
  public var disturber: Disturber
  public var ramps: RampRunner
  public var checkpoints: CheckpointService
  /// Nil where no environments can be made.
  public var environments: EnvironmentService?
  public var secrets: SecretService
  public var mirrors: AliasMirrors
  public var recordings: AliasRecordings
  public var replays: AliasReplays
  public var models: ModelService
  public var authority: TokenAuthority
  /// IAM tokens for JWTs of authorized keys.
  public var exchange: TokenExchange
  public var apiKeys: APIKeys
  /// Prometheus text.
  public var metrics: @Sendable () async -> String
  /// Reads a node's log; waits up to `wait` seconds for a first line.
  public var logs: @Sendable (NodeID, LogQuery, _ wait: Int) async throws(PlatformError) -> LogPage
  /// Bytes that are kept of a node's log; nil when there is none.
  public var logBytes: @Sendable (NodeID) -> Int64?
  /// What the gateway remembers of a request.
  public var requests: @Sendable (String) -> RequestResource?
  public var limits: @Sendable (NodeSpec) -> [EffectiveLimit]
  public var version: VersionResource
  /// The process that serves.
  public var server: @Sendable () -> ServerResource
  /// `NAME.ALIASDOMAIN` as a request's host names an alias; empty: no host does. In lower case.
  public var aliasDomain: String

  public init(
    world: NodeWorld, fleet: Fleet, nodes: NodeService, checkpoints: CheckpointService,
    environments: EnvironmentService? = nil,
    secrets: SecretService, mirrors: AliasMirrors, recordings: AliasRecordings, replays: AliasReplays,
    authority: TokenAuthority, exchange: TokenExchange,
    apiKeys: APIKeys,
    metrics: @escaping @Sendable () async -> String,
    logs: @escaping @Sendable (NodeID, LogQuery, Int) async throws(PlatformError) -> LogPage,
    logBytes: @escaping @Sendable (NodeID) -> Int64? = { _ in nil },
    requests: @escaping @Sendable (String) -> RequestResource?,
    limits: @escaping @Sendable (NodeSpec) -> [EffectiveLimit], version: VersionResource,
    server: @escaping @Sendable () -> ServerResource,
    aliasDomain: String = ""
  ) {
    self.aliasDomain = aliasDomain.lowercased()
    self.world = world
    self.fleet = fleet
    self.nodes = nodes
    aliases = AliasService(world: world, fleet: fleet)
    disturber = Disturber(world: world, fleet: fleet)
    zones = ZoneService(world: world, fleet: fleet)
    ramps = RampRunner(world: world, fleet: fleet, aliases: aliases)
    replacer = NodeReplacer(
      world: world, fleet: fleet, nodes: nodes, aliases: aliases, ramps: ramps, replays: replays)
    self.checkpoints = checkpoints
    models = ModelService(world: world)
    self.environments = environments
    self.secrets = secrets
    self.mirrors = mirrors
    self.recordings = recordings
    self.replays = replays
    self.authority = authority
    self.exchange = exchange
    self.apiKeys = apiKeys
    self.metrics = { [meters = ramps.meters] in await metrics() + meters.text }
    self.logs = logs
    self.logBytes = logBytes
    self.requests = requests
    self.limits = limits
    self.version = version
    self.server = server
  }

  var store: Store { world.store }
}

/// Answers the management API: finds the endpoint, judges the caller, calls it, maps errors in one place.
public struct APIResponder: HTTPResponder {
  private let api: APIWorld
  private let routes: [Route]

  public init(_ api: APIWorld) {
    self.api = api
    routes = RouteTable.all
  }

  public func respond(to request: HTTPRequest) async -> HTTPResponse {
    if request.isGRPC { return await CallEndpoints.respond(to: request, self, api) }
    do throws(PlatformError) { return try await answer(request) } catch {
      if error.code == .internal || error.code == .dataLoss {
        api.world.log(
          .error, "request failed",
          [
            "request_id": request.requestID, "error": error.message,
            "cause": error.cause.map { "\($0)" } ?? "",
          ])
      }
      return Answer.problem(error, for: request)
    }
  }

  private func answer(_ request: HTTPRequest) async throws(PlatformError) -> HTTPResponse {
    let target = try Target(request.target)
    if let open = try await OpenEndpoints.answer(target, request, api) { return open }
    if let token = await IamEndpoints.answer(target, request, self, api) { return token }
    if let session = try await SessionEndpoints.answer(target, request, self, api) { return session }
    if let known = await CompatibleEndpoints.answer(target, request, self, api) { return known }
    if OpenEndpoints.isOpen(target) { return notAllowed(request, "GET, HEAD") }
    let matches = routes.filter { $0.matches(target) }
    guard !matches.isEmpty else {
      throw PlatformError(
        .notFound, "no such path: \(request.target.prefix { $0 != "?" }); see /v1/openapi.json",
        origin: .caller)
    }
    guard let route = matches.first(where: { $0.method == request.method }) else {
      return notAllowed(request, Set(matches.map(\.method)).sorted().joined(separator: ", "))
    }
    let call = try await call(request, segments: route.captures(target), query: target.query)
    return try await route.handle(call, api)
  }

  private func notAllowed(_ request: HTTPRequest, _ allowed: String) -> HTTPResponse {
    let words = "\(request.method) is not allowed here; use \(allowed)"
    var response = Answer.problem(
      PlatformError(.unimplemented, words, origin: .caller), for: request, status: 405)
    response.headers.append((name: "allow", value: allowed))
    return response
  }

  /// A request together with who makes it.
  func call(_ request: HTTPRequest, segments: [String], query: [String: String] = [:])
    async throws(PlatformError) -> Call
  {
    let principal = try await authenticate(request)
    guard !principal.mayOnlyCall else {
      throw PlatformError(
        .permissionDenied,
        "this API key may only call nodes; make one with 'roost api-key create --scope all', or use a token",
        origin: .caller)
    }
    return try await call(request, of: principal, segments: segments, query: query)
  }

  /// The same for a caller who is known.
  func call(
    _ request: HTTPRequest, of principal: Principal, segments: [String], query: [String: String] = [:]
  ) async throws(PlatformError) -> Call {
    let bindings = try await api.store.grants(subject: principal.subject).compactMap { grant in
      Role(rawValue: grant.role).map {
        RoleBinding(subject: grant.subject, role: $0, folderID: grant.folderID)
      }
    }
    return Call(
      request: request, segments: segments, query: query, principal: principal, bindings: bindings)
  }

  /// Whose credential stands in `Authorization`. What it is good for is not judged.
  func authenticate(_ request: HTTPRequest) async throws(PlatformError) -> Principal {
    guard let header = request.header("authorization") else {
      throw PlatformError(
        .unauthenticated,
        "authorization: missing; send 'Authorization: Bearer TOKEN' (make one with: roost token create)",
        origin: .caller)
    }
    let scheme = header.prefix { $0 != " " }
    guard ["bearer", "api-key"].contains(scheme.lowercased()) else {
      throw PlatformError(
        .unauthenticated, "authorization: use the scheme Bearer or Api-Key", origin: .caller)
    }
    let credential = header.dropFirst(scheme.count).drop { $0 == " " }
    let credentials = Credentials(authority: api.authority, keys: api.apiKeys)
    let principal = try credentials.verify(Array(credential.utf8), at: api.world.now())
    if let token = try await api.store.token(principal.tokenID), token.revokedAt != nil {
      throw PlatformError(.unauthenticated, "authorization: this token was revoked", origin: .caller)
    }
    return principal
  }
}
