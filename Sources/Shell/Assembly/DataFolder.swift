import Access
import Domain
import Glibc
import Secrets
import Storage
import Telemetry

/// The data folder of one server: made at the first start, locked while it runs.
struct DataFolder {
  let path: String
  let lock: DataFolderLock

  /// Throws when another server holds the folder or it can't be written.
  ///
  /// - Parameter handed: the open lock file of the process that this one takes over from.
  init(_ text: String, handed: Int32? = nil) throws(PlatformError) {
    path = Self.absolute(text)
    for folder in ["", "/keys", "/logs", "/run"] { try Self.make(path + folder) }
    lock =
      if let handed { try DataFolderLock(inheriting: handed) } else { try DataFolderLock(data: path) }
  }

  /// Of a path that may be relative to the working directory.
  static func absolute(_ text: String) -> String {
    var path = text
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    if !path.hasPrefix("/") {
      let current = getcwd(nil, 0)
      defer { free(current) }
      path =
        (current.map { String(cString: $0) } ?? "") + "/"
        + (path.hasPrefix("./") ? String(path.dropFirst(2)) : path)
    }
    return path
  }

  private static func make(_ path: String) throws(PlatformError) {
    guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
      throw PlatformError(
        .failedPrecondition, "--data \(path): can't be made: \(String(cString: strerror(errno)))")
    }
    guard access(path, W_OK) == 0 else {
      throw PlatformError(
        .failedPrecondition, "--data \(path): can't be written: \(String(cString: strerror(errno)))")
    }
  }
}

/// What the first start makes: folder, project, operator, key.
enum FirstStart {
  static let operatorSetting = "operator"

  /// The operator's service account id; made with its folder and project when the store is empty.
  static func ensure(_ store: Store, at now: Timestamp) async throws(PlatformError) -> String {
    if let subject = try await store.setting(operatorSetting) { return subject }
    let folder = FolderRecord(id: .random(), name: "default", createdAt: now)
    let project = ProjectRecord(id: .random(), folderID: folder.id, name: "default", createdAt: now)
    let account = ServiceAccountRecord(id: .random(), folderID: folder.id, name: "operator", createdAt: now)
    try await store.atomically { store throws(PlatformError) in
      try store.createFolder(folder)
      try store.createProject(project)
      try store.createServiceAccount(account)
      try store.grant(GrantRecord(subject: account.id.text, role: Role.admin.rawValue, folderID: folder.id))
      try store.setSetting(operatorSetting, account.id.text)
    }
    return account.id.text
  }

  static func authority(_ data: DataFolder) throws(PlatformError) -> TokenAuthority {
    let path = data.path + "/keys/token.pem"
    if let pem = try PrivateFile.read(path) { return try TokenAuthority(privateKeyPEM: pem) }
    let authority = try TokenAuthority.generate()
    try PrivateFile.write(try authority.privateKeyPEM(), to: path)
    return authority
  }

  /// The values of secrets; the first start makes their master key.
  static func vault(
    _ data: DataFolder, _ store: Store, _ logger: Logger
  ) async throws(PlatformError) -> SecretVault {
    let path = data.path + "/keys/secrets.json"
    let vault = try await SecretVault.open(store: store, keyFile: path)
    let lost = try await vault.unreadable()
    if lost > 0 {
      logger.error(
        "values of secrets can't be read: their master key is not in the key file; restore it, or give the values anew",
        ["values": .integer(lost), "file": .text(path)])
    }
    return vault
  }
}
