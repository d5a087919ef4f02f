/// An error a caller of the platform can act on.
///
/// The code is the contract: the REST and gRPC layers map it once, clients switch on it. The message is for people and
/// may change. `cause` keeps the lower error whole; never paste its text into `message`.
public struct PlatformError: Error, Sendable {
  /// What went wrong, in the words of `google.rpc.Code` (plus `payloadTooLarge`, which gRPC calls RESOURCE_EXHAUSTED).
  public enum Code: String, Sendable, CaseIterable {
    case cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists, permissionDenied
    case resourceExhausted, failedPrecondition, aborted, outOfRange, unimplemented, `internal`, unavailable
    case dataLoss, unauthenticated, payloadTooLarge

    /// The number of `google.rpc.Code`.
    public var rpcCode: Int {
      switch self {
      case .cancelled: 1
      case .unknown: 2
      case .invalidArgument: 3
      case .deadlineExceeded: 4
      case .notFound: 5
      case .alreadyExists: 6
      case .permissionDenied: 7
      case .resourceExhausted, .payloadTooLarge: 8
      case .failedPrecondition: 9
      case .aborted: 10
      case .outOfRange: 11
      case .unimplemented: 12
      case .internal: 13
      case .unavailable: 14
      case .dataLoss: 15
      case .unauthenticated: 16
      }
    }

    /// The HTTP status, by the table that compatible clients know (409 for ABORTED, 499 for CANCELLED...).
    public var httpStatus: Int {
      switch self {
      case .cancelled: 499
      case .unknown, .internal, .dataLoss: 500
      case .invalidArgument, .failedPrecondition, .outOfRange: 400
      case .deadlineExceeded: 504
      case .notFound: 404
      case .alreadyExists, .aborted: 409
      case .permissionDenied: 403
      case .resourceExhausted: 429
      case .unimplemented: 501
      case .unavailable: 503
      case .unauthenticated: 401
      case .payloadTooLarge: 413
      }
    }
  }

  /// Whose fault it is; decides the metric label and whether a retry elsewhere can help.
  public enum Origin: String, Sendable { case caller, node, platform }

  public var code: Code
  public var message: String
  public var origin: Origin
  /// The field of the request that is wrong, as a path (`inputs[0].type`), where there is one.
  public var field: String?
  public var cause: (any Error)?

  public init(
    _ code: Code, _ message: String, origin: Origin = .platform, field: String? = nil,
    cause: (any Error)? = nil
  ) {
    self.code = code
    self.message = message
    self.origin = origin
    self.field = field
    self.cause = cause
  }

  /// A bad argument: the message must name the field and the fix.
  public static func invalid(_ field: String, _ message: String) -> PlatformError {
    PlatformError(.invalidArgument, message, origin: .caller, field: field)
  }
}
