/// Who may call an alias.
public enum AliasAccess: String, Sendable, Codable, CaseIterable {
  /// Whoever has the right to call in the alias' folder.
  case `private`
  /// Every caller with a valid token.
  case `public`
}

/// A node's part of an alias' requests, in percent.
public struct AliasShare: Sendable, Codable, Equatable {
  public var nodeId: NodeID
  public var weight: Int

  public init(nodeId: NodeID, weight: Int) {
    self.nodeId = nodeId
    self.weight = weight
  }
}

/// What of a request decides which share it belongs to, always the same one.
public struct AliasStickiness: Sendable, Codable, Equatable {
  public enum Source: String, Sendable, Codable, CaseIterable { case header, cookie, caller }
  public var by: Source
  /// Of the header or the cookie, in lower case.
  public var name: String?

  public init(by: Source, name: String? = nil) {
    self.by = by
    self.name = name
  }
}

/// Sends the requests that it fits to one node, whatever the weights say. All that is given must fit.
public struct AliasRule: Sendable, Codable, Equatable {
  public var nodeId: NodeID
  /// Name of a header, in lower case.
  public var header: String?
  /// The header's whole value; nil: any.
  public var value: String?
  /// Beginning of the request's path.
  public var pathPrefix: String?
  /// Id of a service account.
  public var caller: String?

  public init(
    nodeId: NodeID, header: String? = nil, value: String? = nil, pathPrefix: String? = nil,
    caller: String? = nil
  ) {
    self.nodeId = nodeId
    self.header = header
    self.value = value
    self.pathPrefix = pathPrefix
    self.caller = caller
  }
}

/// What the user wants of an alias.
public struct AliasSpec: Sendable, Codable, Equatable {
  public var description: String
  /// Weights sum to 100.
  public var shares: [AliasShare]
  public var access: AliasAccess
  /// Folder ids that a request may name.
  public var acl: [FolderID]
  public var sticky: AliasStickiness?
  public var rules: [AliasRule]
  public var metadata: [String: String]
  /// Answers name the node and the release that made them.
  public var showNode: Bool

  public init(
    description: String = "", shares: [AliasShare], access: AliasAccess = .private, acl: [FolderID],
    sticky: AliasStickiness? = nil, rules: [AliasRule] = [], metadata: [String: String] = [:],
    showNode: Bool = false
  ) {
    self.description = description
    self.shares = shares
    self.access = access
    self.acl = acl
    self.sticky = sticky
    self.rules = rules
    self.metadata = metadata
    self.showNode = showNode
  }
}

/// A share as it is shown.
public struct AliasShareStatus: Sendable, Codable, Equatable {
  public var nodeId: NodeID
  public var nodeName: String
  public var weight: Int
  /// Whether the node takes requests now; if not, `reason` says why.
  public var serving: Bool
  public var reason: String?
  /// Requests answered since the server started, and those of them with a status of 500 or above.
  public var requests: Int
  public var failures: Int
  /// Milliseconds within which half, and 95 of 100, were answered; nil before the first one.
  public var p50Milliseconds: Double?
  public var p95Milliseconds: Double?

  public init(
    nodeId: NodeID, nodeName: String, weight: Int, serving: Bool, reason: String? = nil, requests: Int = 0,
    failures: Int = 0, p50Milliseconds: Double? = nil, p95Milliseconds: Double? = nil
  ) {
    self.nodeId = nodeId
    self.nodeName = nodeName
    self.weight = weight
    self.serving = serving
    self.reason = reason
    self.requests = requests
    self.failures = failures
    self.p50Milliseconds = p50Milliseconds
    self.p95Milliseconds = p95Milliseconds
  }
}

/// A stable published name in front of nodes.
public struct AliasResource: Sendable, Codable, Equatable {
  public var id: AliasID
  public var folderId: FolderID
  public var name: String
  /// As clients of the compatible system write it.
  public var fullName: String
  public var createdAt: Timestamp
  public var createdBy: String
  public var updatedAt: Timestamp
  public var generation: Int
  public var spec: AliasSpec
  /// `HEALTHY`: every share with a weight is served; `DEGRADED`: some are; `UNHEALTHY`: none.
  public var status: AliasStatus
  public var shares: [AliasShareStatus]
  public var executePath: String
  /// Set while its requests wait.
  public var hold: AliasHoldStatus?
  /// The newest ramp, under way or ended; left out when there never was one.
  public var ramp: RampResource?

  public init(
    id: AliasID, folderId: FolderID, name: String, fullName: String, createdAt: Timestamp, createdBy: String,
    updatedAt: Timestamp, generation: Int, spec: AliasSpec, status: AliasStatus, shares: [AliasShareStatus],
    executePath: String, hold: AliasHoldStatus? = nil, ramp: RampResource? = nil
  ) {
    self.id = id
    self.folderId = folderId
    self.name = name
    self.fullName = fullName
    self.createdAt = createdAt
    self.createdBy = createdBy
    self.updatedAt = updatedAt
    self.generation = generation
    self.spec = spec
    self.status = status
    self.shares = shares
    self.executePath = executePath
    self.hold = hold
    self.ramp = ramp
  }
}

/// How an alias is served.
public enum AliasStatus: String, Sendable, Codable {
  case healthy = "HEALTHY"
  case degraded = "DEGRADED"
  case unhealthy = "UNHEALTHY"
}

/// A share as it is asked for; `node` is an id or a name.
public struct RequestedShare: Sendable, Codable, Equatable {
  public var node: String
  public var weight: Int

  public init(node: String, weight: Int) {
    self.node = node
    self.weight = weight
  }
}

/// A rule as it is asked for; `node` is an id or a name.
public struct RequestedAliasRule: Sendable, Codable, Equatable {
  public var node: String
  public var header: String?
  public var value: String?
  public var pathPrefix: String?
  public var caller: String?

  public init(
    node: String, header: String? = nil, value: String? = nil, pathPrefix: String? = nil,
    caller: String? = nil
  ) {
    self.node = node
    self.header = header
    self.value = value
    self.pathPrefix = pathPrefix
    self.caller = caller
  }
}

/// Body of `POST /v1/aliases`.
public struct CreateAliasRequest: Sendable, Codable, Equatable {
  public var name: String
  public var folder: String?
  public var description: String?
  public var shares: [RequestedShare]
  public var access: String?
  /// Folder ids or names; the alias' own when left out.
  public var acl: [String]?
  public var sticky: AliasStickiness?
  public var rules: [RequestedAliasRule]?
  public var metadata: [String: String]?
  public var showNode: Bool?
  /// Takes nodes whose API breaks what callers of the present ones rely on.
  public var allowBreaking: Bool?

  public init(
    name: String, folder: String? = nil, description: String? = nil, shares: [RequestedShare],
    access: String? = nil, acl: [String]? = nil, sticky: AliasStickiness? = nil,
    rules: [RequestedAliasRule]? = nil, metadata: [String: String]? = nil, showNode: Bool? = nil,
    allowBreaking: Bool? = nil
  ) {
    self.name = name
    self.folder = folder
    self.description = description
    self.shares = shares
    self.access = access
    self.acl = acl
    self.sticky = sticky
    self.rules = rules
    self.metadata = metadata
    self.showNode = showNode
    self.allowBreaking = allowBreaking
  }
}

/// Body of `PATCH /v1/aliases/{alias}`; `update_mask` (query, comma separated) names what changes.
public struct UpdateAliasRequest: Sendable, Codable, Equatable {
  /// The generation that the change was made for: refused when the alias was changed since.
  public var generation: Int?
  public var description: String?
  public var shares: [RequestedShare]?
  public var access: String?
  public var acl: [String]?
  /// Left out of the body but in the mask: not sticky.
  public var sticky: AliasStickiness?
  public var rules: [RequestedAliasRule]?
  public var metadata: [String: String]?
  public var showNode: Bool?
  /// Takes nodes whose API breaks what callers of the present ones rely on.
  public var allowBreaking: Bool?

  public init(
    generation: Int? = nil, description: String? = nil, shares: [RequestedShare]? = nil,
    access: String? = nil, acl: [String]? = nil, sticky: AliasStickiness? = nil,
    rules: [RequestedAliasRule]? = nil, metadata: [String: String]? = nil, showNode: Bool? = nil,
    allowBreaking: Bool? = nil
  ) {
    self.generation = generation
    self.description = description
    self.shares = shares
    self.access = access
    self.acl = acl
    self.sticky = sticky
    self.rules = rules
    self.metadata = metadata
    self.showNode = showNode
    self.allowBreaking = allowBreaking
  }
}
