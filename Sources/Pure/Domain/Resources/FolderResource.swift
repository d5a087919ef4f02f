/// Owner of nodes; the unit that ACLs name.
public struct FolderResource: Sendable, Codable, Equatable {
  public var id: FolderID
  public var name: String
  public var createdAt: Timestamp

  public init(
    id: FolderID, name: String, createdAt: Timestamp
  ) {
    self.id = id
    self.name = name
    self.createdAt = createdAt
  }
}

/// Body of `POST /v1/folders`.
public struct CreateFolderRequest: Sendable, Codable, Equatable {
  public var name: String

  public init(
    name: String
  ) {
    self.name = name
  }
}

/// Owner of notebooks and checkpoints.
public struct ProjectResource: Sendable, Codable, Equatable {
  public var id: ProjectID
  public var folderId: FolderID
  public var name: String
  public var createdAt: Timestamp
  /// Newest unpinned checkpoints that are kept.
  public var unpinnedLimit: Int
  /// Most pinned checkpoints.
  public var pinnedLimit: Int

  public init(
    id: ProjectID, folderId: FolderID, name: String, createdAt: Timestamp, unpinnedLimit: Int,
    pinnedLimit: Int
  ) {
    self.id = id
    self.folderId = folderId
    self.name = name
    self.createdAt = createdAt
    self.unpinnedLimit = unpinnedLimit
    self.pinnedLimit = pinnedLimit
  }
}

/// Body of `POST /v1/projects`. `folderId` is an id or a name; default: `default`.
public struct CreateProjectRequest: Sendable, Codable, Equatable {
  public var name: String
  public var folderId: String?
  public var unpinnedLimit: Int?
  public var pinnedLimit: Int?

  public init(
    name: String, folderId: String? = nil, unpinnedLimit: Int? = nil, pinnedLimit: Int? = nil
  ) {
    self.name = name
    self.folderId = folderId
    self.unpinnedLimit = unpinnedLimit
    self.pinnedLimit = pinnedLimit
  }
}

/// Body of `PATCH /v1/projects/{id}`; `update_mask` (query) names what changes.
public struct UpdateProjectRequest: Sendable, Codable, Equatable {
  public var name: String?
  public var unpinnedLimit: Int?
  public var pinnedLimit: Int?

  public init(
    name: String? = nil, unpinnedLimit: Int? = nil, pinnedLimit: Int? = nil
  ) {
    self.name = name
    self.unpinnedLimit = unpinnedLimit
    self.pinnedLimit = pinnedLimit
  }
}
