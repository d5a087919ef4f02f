/// The static checks of what is pulled from instances.
public enum TelemetryValidation {
  /// nil: nothing is pulled. `port` is that of the endpoint.
  public static func settings(
    _ asked: RequestedTelemetry?, port: Int, preset: TelemetrySettings? = nil
  ) throws(PlatformError) -> TelemetrySettings? {
    guard let asked else { return preset }
    if asked.type == "none" {
      guard asked == RequestedTelemetry(type: "none") else {
        throw .invalid("telemetry", "telemetry: type none has no path, port or interval; leave them out")
      }
      return nil
    }
    let defaults = preset ?? TelemetrySettings(path: "/metrics", port: port)
    let settings = TelemetrySettings(
      type: asked.type ?? defaults.type, path: asked.path ?? defaults.path, port: asked.port ?? defaults.port,
      intervalSeconds: asked.intervalSeconds ?? defaults.intervalSeconds)
    guard settings.type == "prometheus" else {
      throw .invalid(
        "telemetry.type", "telemetry.type: '\(settings.type)' is not known; use prometheus or none")
    }
    guard settings.path.hasPrefix("/"), settings.path.utf8.count <= 1024,
      settings.path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
    else {
      throw .invalid(
        "telemetry.path",
        "telemetry.path: '\(settings.path)' must begin with / and have no spaces, like /metrics")
    }
    try FieldCheck.port(settings.port, "telemetry.port")
    try FieldCheck.within(settings.intervalSeconds, 1...3600, "telemetry.intervalSeconds", "seconds")
    return settings
  }
}
