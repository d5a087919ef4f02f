/// Where each instance of a node tells its own metrics; they are pulled and shown on under `/metrics/nodes`.
public struct TelemetrySettings: Sendable, Codable, Equatable {
  /// `prometheus`: GET of text 0.0.4 or OpenMetrics over HTTP/1.1.
  public var type: String
  public var path: String
  /// Of the container.
  public var port: Int
  public var intervalSeconds: Double

  public init(type: String = "prometheus", path: String, port: Int, intervalSeconds: Double = 15) {
    self.type = type
    self.path = path
    self.port = port
    self.intervalSeconds = intervalSeconds
  }
}

/// Telemetry asked for; what is left out has its default, or that of the image's preset.
public struct RequestedTelemetry: Sendable, Codable, Equatable {
  /// `prometheus`, or `none`: nothing is pulled, whatever the preset says.
  public var type: String?
  /// `/metrics` when left out.
  public var path: String?
  /// The port of the endpoint when left out.
  public var port: Int?
  /// 15 when left out.
  public var intervalSeconds: Double?

  public init(
    type: String? = nil, path: String? = nil, port: Int? = nil, intervalSeconds: Double? = nil
  ) {
    self.type = type
    self.path = path
    self.port = port
    self.intervalSeconds = intervalSeconds
  }
}
