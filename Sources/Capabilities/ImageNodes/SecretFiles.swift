import Domain
import FoundationEssentials
import Glibc
import Synchronization

/// The files of instances whose contents are secrets: in memory, in a folder that only the service may enter, a folder in it
/// for each instance. Containers get them as read-only mounts, so that a restart of the service needs no value.
struct SecretFiles: Sendable {
  /// Tells the files of this server from those of others.
  let owner: String

  struct Failure: Error {
    var message: String
  }

  /// Writes the files of an instance; their paths on the machine, in the order of `contents`.
  func write(_ contents: [[UInt8]], of instance: InstanceID) throws(Failure) -> [String] {
    try Self.order.withLock { _ throws(Failure) in try makeAndWrite(contents, instance) }
  }

  /// The folder of the server goes with its last file: it must not go, and be made by somebody else, while it is used here.
  private static let order = Mutex(())

  private func makeAndWrite(_ contents: [[UInt8]], _ instance: InstanceID) throws(Failure) -> [String] {
    clear(instance)
    let folder = "\(try makeBase())/\(instance)"
    guard mkdir(folder, 0o700) == 0 else { throw Self.failure("make", folder) }
    var paths: [String] = []
    for (index, content) in contents.enumerated() {
      let path = "\(folder)/\(index)"
      try Self.write(content, to: path)
      paths.append(path)
    }
    return paths
  }

  private static func write(_ content: [UInt8], to path: String) throws(Failure) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o400)
    guard descriptor >= 0 else { throw failure("make", path) }
    defer { close(descriptor) }
    var rest = content[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw failure("write", path) }
      rest = rest.dropFirst(count)
    }
  }

  /// Gives the files to the user who is to read them. A service that may not do that lets everybody in the container read
  /// them: on the machine the folder above keeps others out.
  func give(_ paths: [String], to user: UInt32) throws(Failure) {
    for path in paths {
      if user == geteuid() || chown(path, user, gid_t.max) == 0 { continue }
      guard errno == EPERM, chmod(path, 0o444) == 0 else { throw Self.failure("give away", path) }
    }
  }

  func remove(_ instance: InstanceID) {
    Self.order.withLock { _ in clear(instance) }
  }

  private func clear(_ instance: InstanceID) {
    guard let base = Self.memory.map({ "\($0)/\(name)" }) else { return }
    let folder = "\(base)/\(instance)"
    for file in Self.names(folder) { unlink("\(folder)/\(file)") }
    rmdir(folder)
    // Only when it was the last one.
    rmdir(base)
  }

  /// The instances that have files here.
  func instances() -> [InstanceID] {
    guard let base = Self.memory.map({ "\($0)/\(name)" }) else { return [] }
    return Self.names(base).compactMap { InstanceID($0) }
  }

  private var name: String { "roost-\(owner)" }

  /// Others may write into the folder above: what they put there is not used.
  private func makeBase() throws(Failure) -> String {
    guard let memory = Self.memory else {
      throw Failure(
        message:
          "there is no file system in memory for secret files (/run or /dev/shm must be a tmpfs that roost can write): mount one, or give the secrets as variables"
      )
    }
    let base = "\(memory)/\(name)"
    guard mkdir(base, 0o700) == 0 || errno == EEXIST else { throw Self.failure("make", base) }
    var status = stat()
    guard lstat(base, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid(),
      status.st_mode & 0o077 == 0
    else {
      throw Failure(message: "\(base) is not a folder of roost's user alone: remove it")
    }
    return base
  }

  /// `/run` is the service's only when it's root; the shared memory of the machine is everybody's.
  private static let memory: String? = {
    let mounts = FileManager.default.contents(atPath: "/proc/self/mounts").map { Array($0) } ?? []
    return ["/run", "/dev/shm"].first {
      access($0, W_OK | X_OK) == 0 && isInMemory($0, mounts: String(decoding: mounts, as: UTF8.self))
    }
  }()

  /// Whether the last file system mounted at the path, or at the nearest folder above it, is one in memory.
  static func isInMemory(_ path: String, mounts: String) -> Bool {
    var best: (point: Substring, type: Substring) = ("", "")
    for line in mounts.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count >= 3, fields[1] == "/" || path == fields[1] || path.hasPrefix("\(fields[1])/"),
        fields[1].utf8.count >= best.point.utf8.count
      else { continue }
      best = (fields[1], fields[2])
    }
    return best.type == "tmpfs" || best.type == "ramfs"
  }

  private static func names(_ folder: String) -> [String] {
    guard let stream = opendir(folder) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  private static func failure(_ doing: String, _ path: String) -> Failure {
    Failure(message: "can't \(doing) \(path): \(String(cString: strerror(errno)))")
  }
}

/// Who runs in a container, by the user database of its image.
enum ContainerUser {
  /// The number that a user's part of `USER[:GROUP]` is; nil for a name.
  static func number(_ user: String) -> UInt32? {
    let name = user.prefix { $0 != ":" }
    return name.isEmpty ? 0 : UInt32(name)
  }

  /// The number of a name in the text of `/etc/passwd`.
  static func number(of user: String, passwd text: some Collection<UInt8>) -> UInt32? {
    let name = String(user.prefix { $0 != ":" })
    for line in String(decoding: Array(text), as: UTF8.self).split(separator: "\n") {
      let fields = line.split(separator: ":", omittingEmptySubsequences: false)
      if fields.count >= 3, fields[0] == name { return UInt32(fields[2]) }
    }
    return nil
  }

  /// The first file of a tar archive; nil when it holds something else first.
  static func file(inTar bytes: [UInt8]) -> ArraySlice<UInt8>? {
    guard bytes.count >= 512, bytes[156] == 0x30 || bytes[156] == 0 else { return nil }
    let digits = bytes[124..<136].prefix { $0 != 0 && $0 != 0x20 }
    guard let size = Int(String(decoding: digits, as: UTF8.self), radix: 8), bytes.count >= 512 + size else {
      return nil
    }
    return bytes[512..<(512 + size)]
  }

  /// What is added to the users of containers where the engine maps them (`--userns-remap`): it keeps them in a folder of
  /// that name.
  static func base(_ info: EngineInfo) -> UInt32 {
    guard info.SecurityOptions?.contains(where: { $0.hasPrefix("name=userns") }) == true,
      let folder = info.DockerRootDir?.split(separator: "/").last?.split(separator: "."), folder.count == 2
    else { return 0 }
    return UInt32(folder[0]) ?? 0
  }
}
