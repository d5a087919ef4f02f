internal import Glibc

/// Small files of the user.
enum LocalFile {
  /// Variables that commands look at.
  static let environmentNames = [
    "ROOST_URL", "ROOST_TOKEN", "ROOST_TOKEN_FILE", "ROOST_PROFILE", "ROOST_PYTHON", "NO_COLOR", "HOME",
    "DOCKER_CONFIG",
    "PATH",
    "PYTHONPATH", "XDG_CONFIG_HOME", "TERM", "COLUMNS", "LISTEN_FDS",
  ]

  /// The bytes of a file; a message that says why not.
  static func read(_ path: String) throws(CommandFailure) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw CommandFailure(.failed, "can't read \(path): \(String(cString: strerror(errno)))")
    }
    defer { close(descriptor) }
    return read(descriptor: descriptor)
  }

  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
  static func isExecutable(_ path: String) -> Bool { access(path, X_OK) == 0 }

  static func read(descriptor: Int32) -> [UInt8] {
    var result: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = Glibc.read(descriptor, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return result }
      result += chunk[0..<count]
    }
  }

  /// Replaces a file that only its owner may read, in a folder that is made when it is missing.
  static func writePrivate(_ text: String, to path: String) throws(CommandFailure) {
    func failure(_ doing: String) -> CommandFailure {
      CommandFailure(.failed, "can't \(doing) \(path): \(String(cString: strerror(errno)))")
    }
    var folder = ""
    for part in path.split(separator: "/").dropLast() {
      folder += (folder.isEmpty && !path.hasPrefix("/") ? "" : "/") + part
      if mkdir(folder, 0o700) != 0, errno != EEXIST { throw failure("make the folder of") }
    }
    let draft = path + ".new"
    let descriptor = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw failure("write") }
    fchmod(descriptor, 0o600)
    let bytes = Array(text.utf8)
    let written = Glibc.write(descriptor, bytes, bytes.count)
    close(descriptor)
    guard written == bytes.count, rename(draft, path) == 0 else {
      unlink(draft)
      throw failure("write")
    }
  }

  /// A path without links; nil when there is nothing.
  static func resolved(_ path: String) -> String? {
    guard let text = realpath(path, nil) else { return nil }
    defer { free(text) }
    return String(cString: text)
  }
}
