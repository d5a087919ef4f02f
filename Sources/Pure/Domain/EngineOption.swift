/// A container engine that a server is given, and the zone that it is.
public struct EngineOption: Sendable, Equatable {
  public var zone: String
  /// Path of its socket.
  public var socket: String

  public init(zone: String, socket: String) {
    self.zone = zone
    self.socket = socket
  }
}
