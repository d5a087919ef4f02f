public import Domain

/// Makes the environments of cell nodes and keeps their files. An environment is named by its digest and never changes.
public protocol EnvironmentMaker: Sendable {
  /// Resolves and builds, or finds that the same was built before. Throws what its user is told.
  ///
  /// Idempotent: what an earlier process began for this id is removed first.
  func build(_ order: EnvironmentOrder) async throws(PlatformError) -> BuiltEnvironment
  /// Ends a build that is under way; `build` throws `cancelled`.
  func cancel(_ id: EnvironmentID)
  /// What the build is doing; nil when there is none.
  func progress(of id: EnvironmentID) async -> String?
  /// Lines of the build's log.
  func log(of id: EnvironmentID, after cursor: String?, tail: Int) async throws(PlatformError) -> LogPage
  /// Forgets the log and what is left of a build.
  func forget(_ id: EnvironmentID) async
  /// Removes the files of every environment but these, and what earlier processes began.
  func sweep(keeping digests: Set<String>) async
  /// Whether the files of an environment are there.
  func has(_ digest: String) async -> Bool
  /// The environment of nodes that name none: the server's own Python.
  func standard() async throws(PlatformError) -> BuiltEnvironment
  /// The packages in those of the folders that nodes can see beside their environment: the notebook's own search path.
  func packages(at folders: [String]) async -> [EnvironmentPackage]
  /// Checks what a build will need, before it is acknowledged: an interpreter of this version, places of wheels.
  func check(_ order: EnvironmentOrder) async throws(PlatformError)
}

/// Who asks a registry: the password is looked up when it is needed, and kept nowhere else.
public struct RegistryAccount: Sendable, Codable, Equatable {
  public var user: String
  /// Name of the secret with the password, in this folder.
  public var passwordSecret: String
  public var folder: FolderID

  public init(user: String, passwordSecret: String, folder: FolderID) {
    self.user = user
    self.passwordSecret = passwordSecret
    self.folder = folder
  }
}

/// What to build.
public struct EnvironmentOrder: Sendable, Codable, Equatable {
  public var id: EnvironmentID
  public var requirements: String
  /// `requirements` has versions and hashes: nothing is resolved.
  public var isLock: Bool
  /// Minor version, like `3.11`; nil: the server's.
  public var python: String?
  public var index: String?
  public var findLinks: [String]
  public var offline: Bool
  public var allowSource: Bool
  /// A container image in place of packages.
  public var image: String?
  /// nil: what `docker login` keeps for the image's registry.
  public var login: RegistryAccount?

  public init(
    id: EnvironmentID, requirements: String, isLock: Bool, python: String? = nil, index: String? = nil,
    findLinks: [String] = [], offline: Bool = false, allowSource: Bool = false,
    image: String? = nil, login: RegistryAccount? = nil
  ) {
    self.image = image
    self.login = login
    self.id = id
    self.requirements = requirements
    self.isLock = isLock
    self.python = python
    self.index = index
    self.findLinks = findLinks
    self.offline = offline
    self.allowSource = allowSource
  }
}

/// An environment that is there.
public struct BuiltEnvironment: Sendable, Codable, Equatable {
  /// 64 hex digits; empty for the server's own.
  public var digest: String
  public var lock: String
  /// Full version.
  public var python: String
  public var packages: [EnvironmentPackage]
  public var sizeBytes: Int64
  /// What it was made of, where that is an image.
  public var image: ImageRoot?

  /// The files of an image as an environment.
  public struct ImageRoot: Sendable, Codable, Equatable {
    /// With its digest.
    public var reference: String
    /// The interpreter, as a path in the image.
    public var python: String
    /// The image's environment.
    public var variables: [String: String]

    public init(reference: String, python: String, variables: [String: String]) {
      self.reference = reference
      self.python = python
      self.variables = variables
    }
  }

  public init(
    digest: String, lock: String, python: String, packages: [EnvironmentPackage], sizeBytes: Int64,
    image: ImageRoot? = nil
  ) {
    self.image = image
    self.digest = digest
    self.lock = lock
    self.python = python
    self.packages = packages
    self.sizeBytes = sizeBytes
  }
}
