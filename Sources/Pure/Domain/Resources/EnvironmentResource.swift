/// Where the making of an environment is.
public enum EnvironmentStatus: String, Sendable, Codable, CaseIterable {
  case building = "BUILDING"
  case ready = "READY"
  case failed = "FAILED"
}

/// An installed distribution; `name` as PEP 503 writes it.
public struct EnvironmentPackage: Sendable, Codable, Equatable {
  public var name: String
  public var version: String
  /// Its top-level modules.
  public var modules: [String]

  public init(
    name: String, version: String, modules: [String] = []
  ) {
    self.name = name
    self.version = version
    self.modules = modules
  }
}

/// The environment of a node's release. Environments of one lock are the same files.
public struct EnvironmentPin: Sendable, Codable, Equatable {
  public var id: EnvironmentID
  public var name: String
  /// 64 hex digits over the lock, the interpreter and the machine.
  public var lockDigest: String

  public init(
    id: EnvironmentID, name: String, lockDigest: String
  ) {
    self.id = id
    self.name = name
    self.lockDigest = lockDigest
  }
}

/// Body of `POST /v1/environments`. One of `requirements`, `lock`, `presets` and `image` must be given; presets add to requirements.
public struct CreateEnvironmentRequest: Sendable, Codable, Equatable {
  public var name: String
  public var description: String?
  /// Id or name; left out: `default`.
  public var folder: String?
  /// Text of a requirements file.
  public var requirements: String?
  /// Text of a requirements file in which every line has a version and hashes.
  public var lock: String?
  /// Names of lists of packages that the server knows.
  public var presets: [String]?
  /// Minor version, like `3.11`; left out: that of the server's Python.
  public var python: String?
  /// Instead of the server's package index.
  public var indexUrl: String?
  /// More places of wheels: `https://` pages, or folders below those that the server allows.
  public var findLinks: [String]?
  /// No index is asked: all comes from `findLinks` and the server's folders of wheels.
  public var offline: Bool?
  /// Packages without a wheel are built, which runs their code in the build's sandbox.
  public var allowSource: Bool?
  /// Reference of a container image: its files and its Python become the environment, and nothing else may be given.
  public var image: String?
  /// Who asks the registry for the image; left out with a `passwordSecret`: `json_key`.
  public var registryUser: String?
  /// The secret of the environment's folder that holds this user's password.
  public var passwordSecret: String?

  public init(
    name: String, description: String? = nil, folder: String? = nil, requirements: String? = nil,
    lock: String? = nil, presets: [String]? = nil, python: String? = nil, indexUrl: String? = nil,
    findLinks: [String]? = nil, offline: Bool? = nil, allowSource: Bool? = nil,
    image: String? = nil, registryUser: String? = nil, passwordSecret: String? = nil
  ) {
    self.image = image
    self.registryUser = registryUser
    self.passwordSecret = passwordSecret
    self.name = name
    self.description = description
    self.folder = folder
    self.requirements = requirements
    self.lock = lock
    self.presets = presets
    self.python = python
    self.indexUrl = indexUrl
    self.findLinks = findLinks
    self.offline = offline
    self.allowSource = allowSource
  }
}

/// Interpreter and packages that cell nodes run in. Never changes once it is ready.
public struct EnvironmentResource: Sendable, Codable, Equatable {
  public var id: EnvironmentID
  public var name: String
  /// Left out of the server's default environment, which belongs to nobody.
  public var folderId: FolderID?
  public var description: String
  public var status: EnvironmentStatus
  public var createdAt: Timestamp?
  public var createdBy: String?
  /// Full version of the interpreter, once it is ready.
  public var pythonVersion: String?
  /// Names the files: environments with the same digest share them.
  public var lockDigest: String?
  /// Text of the requirements file that was resolved, with versions and hashes. Filled by get.
  public var lock: String?
  /// What it was made of. Filled by get.
  public var requirements: String?
  /// The image that it was made of, with its digest once it is ready.
  public var image: String?
  /// Filled by get.
  public var packages: [EnvironmentPackage]
  public var packageCount: Int
  public var sizeBytes: Int64?
  /// Names of the nodes whose releases run in it.
  public var usedBy: [String]
  /// Why it could not be made.
  public var error: String?

  public init(
    id: EnvironmentID, name: String, folderId: FolderID? = nil, description: String = "",
    status: EnvironmentStatus, createdAt: Timestamp? = nil, createdBy: String? = nil,
    pythonVersion: String? = nil, lockDigest: String? = nil, lock: String? = nil,
    requirements: String? = nil, image: String? = nil, packages: [EnvironmentPackage] = [],
    packageCount: Int = 0,
    sizeBytes: Int64? = nil, usedBy: [String] = [], error: String? = nil
  ) {
    self.id = id
    self.name = name
    self.folderId = folderId
    self.description = description
    self.status = status
    self.createdAt = createdAt
    self.createdBy = createdBy
    self.pythonVersion = pythonVersion
    self.lockDigest = lockDigest
    self.lock = lock
    self.requirements = requirements
    self.image = image
    self.packages = packages
    self.packageCount = packageCount
    self.sizeBytes = sizeBytes
    self.usedBy = usedBy
    self.error = error
  }
}

/// Body of `POST /v1/environments/{id}:check`: a checkpoint by id or by the name it is pinned with in `project`.
public struct CheckEnvironmentRequest: Sendable, Codable, Equatable {
  public var checkpoint: String
  public var project: String?

  public init(
    checkpoint: String, project: String? = nil
  ) {
    self.checkpoint = checkpoint
    self.project = project
  }
}

/// A difference between a notebook and an environment.
public struct EnvironmentFinding: Sendable, Codable, Equatable {
  /// `missing`: the cell can't run without it. `differs`: another version. `unused`: missing, but this cell does without.
  public enum Kind: String, Sendable, Codable { case missing, differs, unused }

  public var kind: Kind
  /// A distribution, or `python`.
  public var package: String
  /// What the notebook had; left out where only a declared type asks for it.
  public var wanted: String?
  /// What the environment has.
  public var found: String?
  /// The whole in words, with the fix.
  public var message: String

  public init(
    kind: Kind, package: String, wanted: String? = nil, found: String? = nil, message: String
  ) {
    self.kind = kind
    self.package = package
    self.wanted = wanted
    self.found = found
    self.message = message
  }
}

/// How well an environment fits a checkpoint. `fits` is false where a node would be refused.
public struct EnvironmentCheckResource: Sendable, Codable, Equatable {
  public var environment: String
  public var checkpoint: String
  public var fits: Bool
  public var findings: [EnvironmentFinding]

  public init(
    environment: String, checkpoint: String, fits: Bool, findings: [EnvironmentFinding]
  ) {
    self.environment = environment
    self.checkpoint = checkpoint
    self.fits = fits
    self.findings = findings
  }
}
