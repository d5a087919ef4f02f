internal import Domain

/// The flags of address nodes, for `create`, `validate` and `update`.
enum AddressFlags {
  static let flags: [Flag] = [
    Flag(
      "address", .text, value: "HOST:PORT|https://HOST[:PORT]|unix:/PATH",
      "an address node: a server that runs already",
      repeatable: true),
    Flag("endpoint", .choice(["http", "http2", "grpc"]), "what the addresses speak (http)"),
    Flag(
      "health-check", .text, value: "http:/PATH|grpc[:SERVICE]|none", "how addresses are probed (connecting)"),
    Flag("health-port", .integer, value: "PORT", "port of the health check (that of the address)"),
    Flag("health-timeout", .duration, "longest time of a probe (1s)"),
    Flag("health-interval", .duration, "time between probes (15s)"),
    Flag("health-fails", .integer, value: "N", "failed probes in a row that take an address out (3)"),
    Flag("health-passes", .integer, value: "N", "passed probes in a row that bring it back (3)"),
    Flag("connect-timeout", .duration, "longest time of connecting to an address (5s)"),
    Flag("idle-timeout", .duration, "longest silence of a request or stream (300s)"),
    Flag("total-timeout", .duration, "longest time of a request with its whole answer (no limit)"),
    Flag("per-instance-limit", .integer, value: "N", "most requests at once at one address (1000)"),
    Flag("slow-start", .duration, "time in which an address that came back gets its full part (0s)"),
    Flag("pass-credentials", .toggle, "the caller's authorization is passed on to the address"),
    Flag("rate-limit", .number, value: "N", "most requests a second of all callers together"),
    Flag("caller-rate-limit", .number, value: "N", "most requests a second of one caller"),
  ]

  static func addresses(_ parsed: ParsedArguments) -> [NodeAddress]? {
    let given = parsed.texts("address").map { NodeAddress(address: $0) }
    return given.isEmpty ? nil : given
  }

  static func endpoint(_ parsed: ParsedArguments) -> RequestedEndpoint? {
    let asked = RequestedEndpoint(
      type: parsed.text("endpoint"),
      connectTimeoutSeconds: parsed.duration("connect-timeout").map(\.fractionalSeconds),
      idleTimeoutSeconds: parsed.duration("idle-timeout").map(\.fractionalSeconds),
      totalTimeoutSeconds: parsed.duration("total-timeout").map(\.fractionalSeconds),
      perInstanceLimit: parsed.integer("per-instance-limit"),
      passCredentials: parsed.toggle("pass-credentials") ? true : nil,
      slowStartSeconds: parsed.duration("slow-start").map(\.fractionalSeconds))
    return asked == RequestedEndpoint() ? nil : asked
  }

  /// `http:/healthz`, `grpc`, `grpc:echo.v1.Echo`.
  static func healthCheck(
    _ parsed: ParsedArguments, _ command: Command
  ) throws(CommandFailure) -> RequestedHealthCheck? {
    let knobs = RequestedHealthCheck(
      port: parsed.integer("health-port"),
      timeoutSeconds: parsed.duration("health-timeout").map(\.fractionalSeconds),
      intervalSeconds: parsed.duration("health-interval").map(\.fractionalSeconds),
      failsThreshold: parsed.integer("health-fails"), passesThreshold: parsed.integer("health-passes"))
    guard let text = parsed.text("health-check"), text != "none" else {
      guard knobs == RequestedHealthCheck() else {
        throw .usage("give --health-check too: http:/PATH or grpc[:SERVICE]", command)
      }
      return nil
    }
    let sides = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    var check = knobs
    check.type = sides[0]
    switch (sides[0], sides.count) {
    case ("http", 2): check.path = sides[1]
    case ("grpc", 2): check.service = sides[1]
    case ("http", 1), ("grpc", 1): break
    default:
      throw .usage("--health-check: '\(text)' must be http:/PATH, grpc or grpc:SERVICE", command)
    }
    return check
  }

  /// A second's worth may come at once, and at least one.
  static func rate(_ parsed: ParsedArguments, _ flag: String) -> RateLimit? {
    parsed.number(flag).map { RateLimit(requestsPerSecond: $0, burst: Swift.max(1, Int($0.rounded(.up)))) }
  }
}
