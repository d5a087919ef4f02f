import Domain
import Glibc

/// Finds the interpreter of cell nodes and the folder of the `roost` Python package.
struct PythonFinder {
  let python: String
  let packageFolder: String

  init(_ asked: String?) throws(PlatformError) {
    let top = Self.executableFolders().map { $0 + "/.." }
    let environment = getenv("ROOST_PYTHON").map { String(cString: $0) }
    let candidates =
      [asked, environment].compactMap { $0 } + top.map { $0 + "/.venv/bin/python" }
      + ["/opt/roost/venv/bin/python", "/usr/bin/python3", "/usr/local/bin/python3"]
    guard let found = candidates.first(where: { Glibc.access($0, X_OK) == 0 }) else {
      throw PlatformError(
        .failedPrecondition, "--python: no Python found; tried \(candidates.joined(separator: ", "))")
    }
    if let asked, found != asked {
      throw PlatformError(.failedPrecondition, "--python: \(asked) is not an executable file")
    }
    python = found
    let package = getenv("ROOST_PYTHONPATH").map { String(cString: $0) }
    let folders = [package].compactMap { $0 } + top.map { $0 + "/python/src" } + ["/opt/roost/python/src"]
    guard let folder = folders.first(where: { Glibc.access($0 + "/roost/worker/__main__.py", R_OK) == 0 })
    else {
      throw PlatformError(
        .failedPrecondition,
        "the Python package 'roost' was not found in \(folders.joined(separator: ", ")); set ROOST_PYTHONPATH"
      )
    }
    packageFolder = Self.real(folder)
  }

  /// The folder the program was called from and the one it really lies in, up to the top of a build tree.
  private static func executableFolders() -> [String] {
    let real = real("/proc/self/exe")
    var folders: [String] = []
    var path = real
    while let slash = path.lastIndex(of: "/"), folders.count < 5, slash != path.startIndex {
      path = String(path[..<slash])
      folders.append(path)
    }
    return folders
  }

  private static func real(_ path: String) -> String {
    guard let resolved = realpath(path, nil) else { return path }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
