/// The life of an instance, in the exact words of the wire.
public enum InstanceStatus: String, Sendable, Codable, Hashable, CaseIterable {
  /// Nothing made yet.
  case undefined = "UNDEFINED"
  /// Its process exists.
  case created = "CREATED"
  /// A connection to it exists.
  case started = "STARTED"
  /// Restoring, loading, first health checks.
  case preparing = "PREPARING"
  /// In rotation.
  case healthy = "HEALTHY"
  /// Out of rotation.
  case unhealthy = "UNHEALTHY"
  case deleting = "DELETING"
}

/// The state of a node, in the exact words of the wire.
public enum NodeStatus: String, Sendable, Codable, Hashable, CaseIterable {
  case created = "CREATED"
  /// Healthy instances are at least the minimum.
  case healthy = "HEALTHY"
  case unhealthy = "UNHEALTHY"
  case suspended = "SUSPENDED"
  case deleting = "DELETING"
}
