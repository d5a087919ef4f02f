/// The static checks of an address node, with the defaults of what was left out.
public enum AddressValidation {
  /// Most addresses of one node.
  public static let maximumAddresses = 100

  /// Throws the first problem in the order a user would fix them.
  public static func source(
    addresses: [NodeAddress]?, endpoint: RequestedEndpoint?, healthCheck: RequestedHealthCheck?
  ) throws(PlatformError) -> AddressSource {
    AddressSource(
      addresses: try checked(addresses ?? [], port: endpoint?.port),
      endpoint: try settings(endpoint ?? RequestedEndpoint()),
      healthCheck: try healthCheck.map(check))
  }

  /// Addresses with their ports, none twice.
  public static func checked(_ addresses: [NodeAddress], port: Int?) throws(PlatformError) -> [NodeAddress] {
    guard !addresses.isEmpty, addresses.count <= maximumAddresses else {
      throw .invalid(
        "addresses",
        "addresses: give 1 to \(maximumAddresses), like 10.0.0.7:8080 or unix:/run/app.sock; there are \(addresses.count)"
      )
    }
    if let port { try FieldCheck.port(port, "endpoint.port") }
    var seen = Set<String>()
    var result: [NodeAddress] = []
    for (index, address) in addresses.enumerated() {
      let field = "addresses[\(index)].address"
      let text = try normal(address.address, port: port, field)
      guard seen.insert(text).inserted else {
        throw .invalid(field, "\(field): '\(text)' is there twice; remove one")
      }
      if let zone = address.zone, !isWord(zone) {
        throw .invalid(
          "addresses[\(index)].zone", "addresses[\(index)].zone: '\(zone)' is not a name of a-z, 0-9 and -")
      }
      result.append(NodeAddress(address: text, zone: address.zone))
    }
    return result
  }

  /// What is asked for over what there is.
  public static func settings(
    _ asked: RequestedEndpoint, over defaults: EndpointSettings = EndpointSettings()
  ) throws(PlatformError) -> EndpointSettings {
    let settings = EndpointSettings(
      type: asked.type ?? defaults.type,
      connectTimeoutSeconds: asked.connectTimeoutSeconds ?? defaults.connectTimeoutSeconds,
      idleTimeoutSeconds: asked.idleTimeoutSeconds ?? defaults.idleTimeoutSeconds,
      totalTimeoutSeconds: asked.totalTimeoutSeconds ?? defaults.totalTimeoutSeconds,
      perInstanceLimit: asked.perInstanceLimit ?? defaults.perInstanceLimit,
      passCredentials: asked.passCredentials ?? defaults.passCredentials,
      slowStartSeconds: asked.slowStartSeconds ?? defaults.slowStartSeconds)
    guard ["http", "http2", "grpc"].contains(settings.type) else {
      throw .invalid(
        "endpoint.type", "endpoint.type: '\(settings.type)' is not known; use http, http2 or grpc")
    }
    try FieldCheck.within(
      settings.connectTimeoutSeconds, 0.05...60, "endpoint.connectTimeoutSeconds", "seconds")
    try FieldCheck.within(settings.idleTimeoutSeconds, 0.05...86400, "endpoint.idleTimeoutSeconds", "seconds")
    try FieldCheck.within(
      settings.totalTimeoutSeconds, 0...86400, "endpoint.totalTimeoutSeconds", "seconds, 0 for no limit")
    try FieldCheck.within(
      Double(settings.perInstanceLimit), 1...100_000, "endpoint.perInstanceLimit", "requests")
    try FieldCheck.within(settings.slowStartSeconds, 0...3600, "endpoint.slowStartSeconds", "seconds")
    return settings
  }

  public static func check(_ asked: RequestedHealthCheck) throws(PlatformError) -> HealthCheck {
    let type = asked.type ?? "http"
    let defaults = HealthCheck(type: type)
    let check = HealthCheck(
      type: type, port: asked.port, path: asked.path ?? defaults.path,
      service: asked.service ?? defaults.service,
      timeoutSeconds: asked.timeoutSeconds ?? defaults.timeoutSeconds,
      intervalSeconds: asked.intervalSeconds ?? defaults.intervalSeconds,
      failsThreshold: asked.failsThreshold ?? defaults.failsThreshold,
      passesThreshold: asked.passesThreshold ?? defaults.passesThreshold)
    guard ["http", "grpc"].contains(type) else {
      throw .invalid("healthCheck.type", "healthCheck.type: '\(type)' is not known; use http or grpc")
    }
    if let port = check.port { try FieldCheck.port(port, "healthCheck.port") }
    if type == "grpc", asked.path != nil {
      throw .invalid(
        "healthCheck.path",
        "healthCheck.path: a gRPC check has none; name the gRPC service in healthCheck.service")
    }
    if type == "http", asked.service != nil {
      throw .invalid(
        "healthCheck.service", "healthCheck.service: only a gRPC check has one; use healthCheck.path")
    }
    guard check.path.hasPrefix("/"), check.path.utf8.count <= 1024, isVisible(check.path) else {
      throw .invalid(
        "healthCheck.path",
        "healthCheck.path: '\(check.path)' must begin with / and have no spaces, like /healthz")
    }
    guard check.service.utf8.count <= 256, check.service.isEmpty || isVisible(check.service) else {
      throw .invalid(
        "healthCheck.service",
        "healthCheck.service: '\(check.service)' is not the name of a gRPC service, like echo.v1.Echo")
    }
    try FieldCheck.within(check.timeoutSeconds, 0.05...60, "healthCheck.timeoutSeconds", "seconds")
    try FieldCheck.within(check.intervalSeconds, 0.1...3600, "healthCheck.intervalSeconds", "seconds")
    try FieldCheck.within(Double(check.failsThreshold), 1...100, "healthCheck.failsThreshold", "probes")
    try FieldCheck.within(Double(check.passesThreshold), 1...100, "healthCheck.passesThreshold", "probes")
    return check
  }

  public static func checkRate(_ limit: RateLimit?, _ field: String) throws(PlatformError) {
    guard let limit else { return }
    try FieldCheck.within(
      limit.requestsPerSecond, 0.001...1_000_000, "\(field).requestsPerSecond", "requests")
    try FieldCheck.within(Double(limit.burst), 1...1_000_000, "\(field).burst", "requests")
  }

  /// `host:port` with the host in lower case, or `unix:/path`.
  private static func normal(_ text: String, port: Int?, _ field: String) throws(PlatformError) -> String {
    let hint = "use HOST:PORT, [IPV6]:PORT, https://HOST[:PORT] or unix:/absolute/path"
    if text.hasPrefix("unix:") {
      let path = text.dropFirst(5)
      guard path.hasPrefix("/"), path.utf8.count <= 4096, isVisible(String(path)) else {
        throw .invalid(field, "\(field): '\(text)' is not a socket's path without spaces; \(hint)")
      }
      return text
    }
    if text.hasPrefix("https://") {
      var rest = text.dropFirst(8)
      if rest.hasSuffix("/") { rest = rest.dropLast() }
      guard !rest.contains("/") else {
        throw .invalid(field, "\(field): '\(text)' has a path, which belongs to requests; \(hint)")
      }
      return "https://" + (try normal(String(rest), port: port ?? 443, field))
    }
    if text.contains("://") {
      throw .invalid(field, "\(field): '\(text)' is a URL; \(hint)")
    }
    let parts = try split(text, field, hint)
    guard let given = parts.port.map({ Int($0) ?? 0 }) ?? port else {
      throw .invalid(field, "\(field): '\(text)' has no port and endpoint.port is not given; \(hint)")
    }
    guard (1...65535).contains(given) else {
      throw .invalid(field, "\(field): the port of '\(text)' must lie between 1 and 65535; \(hint)")
    }
    return "\(parts.host.lowercased()):\(given)"
  }

  private static func split(
    _ text: String, _ field: String, _ hint: String
  ) throws(PlatformError) -> (host: String, port: Substring?) {
    let refused = PlatformError.invalid(field, "\(field): '\(text)' is not an address; \(hint)")
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]") else { throw refused }
      let inside = text[text.index(after: text.startIndex)..<end]
      let rest = text[text.index(after: end)...]
      guard inside.contains(":"), inside.utf8.allSatisfy({ isHex($0) || $0 == 0x3a || $0 == 0x2e }),
        rest.isEmpty || rest.hasPrefix(":")
      else { throw refused }
      return ("[\(inside)]", rest.isEmpty ? nil : rest.dropFirst())
    }
    let sides = text.split(separator: ":", omittingEmptySubsequences: false)
    guard sides.count <= 2, let host = sides.first, isHost(host) else { throw refused }
    return (String(host), sides.count == 2 ? sides[1] : nil)
  }

  private static func isHex(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte) || (0x41...0x46).contains(byte)
  }

  private static func isHost(_ text: Substring) -> Bool {
    guard (1...253).contains(text.utf8.count) else { return false }
    return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
      (1...63).contains(label.utf8.count) && !label.hasPrefix("-")
        && label.utf8.allSatisfy {
          (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) || (0x41...0x5a).contains($0)
            || $0 == 0x2d || $0 == 0x5f
        }
    }
  }

  private static func isVisible(_ text: String) -> Bool {
    text.utf8.allSatisfy { (0x21...0x7e).contains($0) }
  }

  private static func isWord(_ text: String) -> Bool {
    (1...63).contains(text.utf8.count)
      && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x2d }
  }
}
