public import Domain

/// What to ask of an instance to learn whether it may get requests.
public struct ProbeTarget: Sendable, Equatable {
  public enum Question: Sendable, Equatable {
    /// Does it take connections?
    case connect
    /// GET; 200 to 399 passes.
    case http(path: String)
    /// `grpc.health.v1.Health/Check` of this service; SERVING passes.
    case grpc(service: String)
  }

  /// `host:port` (a name or an IP literal) or `unix:/path`.
  public var address: String
  public var question: Question
  /// Ask over HTTP/2 without TLS; a gRPC question always is.
  public var overHTTP2: Bool
  /// Ask with TLS, and believe only a certificate for this name; nil: without.
  public var serverName: String?
  public var timeout: Duration

  public init(
    address: String, question: Question, overHTTP2: Bool = false, serverName: String? = nil,
    timeout: Duration
  ) {
    self.serverName = serverName
    self.address = address
    self.question = question
    self.overHTTP2 = overHTTP2
    self.timeout = timeout
  }

  /// The probe that a health check (or, without one, the endpoint) asks for.
  public init(_ endpoint: Endpoint, check: HealthCheck?, connectTimeout: Duration) {
    guard let check else {
      self.init(
        address: endpoint.address, question: .connect, overHTTP2: endpoint.wireProtocol == .http2,
        serverName: endpoint.serverName, timeout: connectTimeout)
      return
    }
    var address = endpoint.address
    if let port = check.port, let colon = address.lastIndex(of: ":"), !address.hasPrefix("unix:") {
      address = "\(address[..<colon]):\(port)"
    }
    self.init(
      address: address,
      question: check.type == "grpc" ? .grpc(service: check.service) : .http(path: check.path),
      overHTTP2: check.type == "grpc" || (endpoint.wireProtocol == .http2 && address == endpoint.address),
      serverName: address == endpoint.address ? endpoint.serverName : nil,
      timeout: .seconds(check.timeoutSeconds))
  }

  /// For people: `GET /healthz at 10.0.0.7:8080`.
  public var description: String {
    switch question {
    case .connect: "connecting to \(address)"
    case .http(let path): "GET \(path) at \(address)"
    case .grpc(let service):
      "gRPC health check\(service.isEmpty ? "" : " of \(service)") at \(address)"
    }
  }
}

/// What a probe saw.
public struct ProbeOutcome: Sendable, Equatable {
  public var passed: Bool
  /// `answered 200`, `connection refused`, `no answer in 1.0 s`.
  public var message: String
  /// The endpoint's address with its name resolved; nil when it could not be.
  public var resolved: String?

  public init(passed: Bool, message: String, resolved: String? = nil) {
    self.passed = passed
    self.message = message
    self.resolved = resolved
  }
}
