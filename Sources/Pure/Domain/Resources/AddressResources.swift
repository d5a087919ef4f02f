/// What an address node is made of: servers that run already, somewhere.
public struct AddressSource: Sendable, Codable, Equatable {
  /// Each is an instance of the node.
  public var addresses: [NodeAddress]
  public var endpoint: EndpointSettings
  /// Without one, an address is healthy while a connection to it can be made.
  public var healthCheck: HealthCheck?

  public init(addresses: [NodeAddress], endpoint: EndpointSettings, healthCheck: HealthCheck? = nil) {
    self.addresses = addresses
    self.endpoint = endpoint
    self.healthCheck = healthCheck
  }
}

/// Where a server listens.
public struct NodeAddress: Sendable, Codable, Equatable, Hashable {
  /// `host:port`, `[ipv6]:port`, `https://host[:port]` (with TLS, the certificate must be valid for the host) or
  /// `unix:/absolute/path`.
  public var address: String
  /// Requests prefer addresses of the gateway's own zone.
  public var zone: String?

  public init(address: String, zone: String? = nil) {
    self.address = address
    self.zone = zone
  }
}

/// How a node's instances are spoken to.
public struct EndpointSettings: Sendable, Codable, Equatable {
  /// `http` (HTTP/1.1), `http2` (HTTP/2; without TLS by prior knowledge) or `grpc` (the same, for gRPC).
  public var type: String
  /// From the start of an attempt to connect to its end.
  public var connectTimeoutSeconds: Double
  /// Longest silence in both directions of a request, a stream or a WebSocket.
  public var idleTimeoutSeconds: Double
  /// From a request's arrival to the end of its answer, streams and WebSockets too; 0: no such limit.
  public var totalTimeoutSeconds: Double
  /// Most requests outstanding at one instance.
  public var perInstanceLimit: Int
  /// The caller's `authorization` and the routing headers are passed on to the instance.
  public var passCredentials: Bool
  /// An instance that enters rotation gets its full part of the requests only after this time; 0: at once.
  public var slowStartSeconds: Double

  public init(
    type: String = "http", connectTimeoutSeconds: Double = 5, idleTimeoutSeconds: Double = 300,
    totalTimeoutSeconds: Double = 0, perInstanceLimit: Int = 1000, passCredentials: Bool = false,
    slowStartSeconds: Double = 0
  ) {
    self.type = type
    self.connectTimeoutSeconds = connectTimeoutSeconds
    self.idleTimeoutSeconds = idleTimeoutSeconds
    self.totalTimeoutSeconds = totalTimeoutSeconds
    self.perInstanceLimit = perInstanceLimit
    self.passCredentials = passCredentials
    self.slowStartSeconds = slowStartSeconds
  }
}

/// How it is found out whether an instance may get requests.
public struct HealthCheck: Sendable, Codable, Equatable {
  /// `http`: GET, 200 to 399 passes; `grpc`: `grpc.health.v1.Health/Check`, SERVING passes.
  public var type: String
  /// Where to ask; nil: the port of the endpoint.
  public var port: Int?
  /// Of an HTTP check.
  public var path: String
  /// Service name of a gRPC check; empty: the server as a whole.
  public var service: String
  /// Longest time of one probe, connecting included.
  public var timeoutSeconds: Double
  public var intervalSeconds: Double
  /// Failed probes in a row after which an instance leaves rotation.
  public var failsThreshold: Int
  /// Passed probes in a row after which it comes back. The first time, one is enough.
  public var passesThreshold: Int

  public init(
    type: String, port: Int? = nil, path: String = "/", service: String = "", timeoutSeconds: Double = 1,
    intervalSeconds: Double = 15, failsThreshold: Int = 3, passesThreshold: Int = 3
  ) {
    self.type = type
    self.port = port
    self.path = path
    self.service = service
    self.timeoutSeconds = timeoutSeconds
    self.intervalSeconds = intervalSeconds
    self.failsThreshold = failsThreshold
    self.passesThreshold = passesThreshold
  }
}

/// Most requests in a time: `burst` at once and `requestsPerSecond` on average.
public struct RateLimit: Sendable, Codable, Equatable {
  public var requestsPerSecond: Double
  public var burst: Int

  public init(requestsPerSecond: Double, burst: Int) {
    self.requestsPerSecond = requestsPerSecond
    self.burst = burst
  }
}

/// An endpoint asked for; what is left out has its default.
public struct RequestedEndpoint: Sendable, Codable, Equatable {
  public var type: String?
  /// Of the addresses that are given without one.
  public var port: Int?
  public var connectTimeoutSeconds: Double?
  public var idleTimeoutSeconds: Double?
  public var totalTimeoutSeconds: Double?
  public var perInstanceLimit: Int?
  public var passCredentials: Bool?
  public var slowStartSeconds: Double?

  public init(
    type: String? = nil, port: Int? = nil, connectTimeoutSeconds: Double? = nil,
    idleTimeoutSeconds: Double? = nil, totalTimeoutSeconds: Double? = nil, perInstanceLimit: Int? = nil,
    passCredentials: Bool? = nil, slowStartSeconds: Double? = nil
  ) {
    self.type = type
    self.port = port
    self.connectTimeoutSeconds = connectTimeoutSeconds
    self.idleTimeoutSeconds = idleTimeoutSeconds
    self.totalTimeoutSeconds = totalTimeoutSeconds
    self.perInstanceLimit = perInstanceLimit
    self.passCredentials = passCredentials
    self.slowStartSeconds = slowStartSeconds
  }
}

/// A health check asked for; what is left out has its default.
public struct RequestedHealthCheck: Sendable, Codable, Equatable {
  public var type: String?
  public var port: Int?
  public var path: String?
  public var service: String?
  public var timeoutSeconds: Double?
  public var intervalSeconds: Double?
  public var failsThreshold: Int?
  public var passesThreshold: Int?

  public init(
    type: String? = nil, port: Int? = nil, path: String? = nil, service: String? = nil,
    timeoutSeconds: Double? = nil, intervalSeconds: Double? = nil, failsThreshold: Int? = nil,
    passesThreshold: Int? = nil
  ) {
    self.type = type
    self.port = port
    self.path = path
    self.service = service
    self.timeoutSeconds = timeoutSeconds
    self.intervalSeconds = intervalSeconds
    self.failsThreshold = failsThreshold
    self.passesThreshold = passesThreshold
  }
}

/// The newest probe of an instance.
public struct ProbeResource: Sendable, Codable, Equatable {
  public var at: Timestamp
  public var passed: Bool
  /// What was seen: `answered 200`, `connection refused`, `no answer in 1.0 s`.
  public var message: String
  /// Probes with this result, in a row.
  public var inARow: Int

  public init(at: Timestamp, passed: Bool, message: String, inARow: Int) {
    self.at = at
    self.passed = passed
    self.message = message
    self.inARow = inARow
  }
}
