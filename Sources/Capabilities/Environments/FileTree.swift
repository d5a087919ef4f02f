import Glibc
import Sandboxing

/// Whole trees of files. No link is followed.
enum FileTree {
  /// Bytes on disk.
  static func bytes(_ path: String) -> Int64 {
    var status = stat()
    guard lstat(path, &status) == 0 else { return 0 }
    var total = Int64(status.st_blocks) * 512
    guard status.st_mode & S_IFMT == S_IFDIR else { return total }
    for name in Files.list(path) { total += bytes("\(path)/\(name)") }
    return total
  }

  /// Another one once names in the folder have changed.
  static func stamp(_ folder: String) -> Int64 {
    var status = stat()
    guard stat(folder, &status) == 0 else { return 0 }
    return Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec)
  }

  /// Nobody writes there any more.
  static func makeReadOnly(_ path: String) { change(path) { $0 & ~0o222 } }

  /// So that it can be removed.
  static func makeWritable(_ path: String) { change(path, foldersOnly: true) { $0 | 0o700 } }

  private static func change(_ path: String, foldersOnly: Bool = false, _ mode: (mode_t) -> mode_t) {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFLNK else { return }
    let isFolder = status.st_mode & S_IFMT == S_IFDIR
    let wanted = mode(status.st_mode & 0o7777)
    if isFolder || !foldersOnly, wanted != status.st_mode & 0o7777 { chmod(path, wanted) }
    if isFolder {
      for name in Files.list(path) { change("\(path)/\(name)", foldersOnly: foldersOnly, mode) }
    }
  }

  /// On disk before it is called by its name. Thousands of files: one call for all is quicker than one for each.
  static func flush() { sync() }
}
