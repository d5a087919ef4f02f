/// What is done to an instance to see how the others bear it.
public enum Disturbance: String, Sendable, Codable, CaseIterable {
  /// SIGKILL.
  case kill
  /// It does not run for some seconds, then goes on.
  case freeze
  /// It gets a fifth of its time for some seconds.
  case slow
}

/// Body of `POST /v1/instances/{instance}:disturb`.
public struct DisturbRequest: Sendable, Codable, Equatable {
  public var disturbance: Disturbance
  /// How long it is frozen or slow: 1 to 30; 3 when left out.
  public var seconds: Int?

  public init(disturbance: Disturbance, seconds: Int? = nil) {
    self.disturbance = disturbance
    self.seconds = seconds
  }
}
