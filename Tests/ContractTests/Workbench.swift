import Domain
import Glibc
import Testing

@testable import Contract

/// A folder for files that other tools read, removed in the end; and those tools.
final class Workbench {
  let folder: String
  private let repository: String

  init() throws {
    repository = "/" + "\(#filePath)".split(separator: "/").dropLast(3).joined(separator: "/")
    var template = Array("/tmp/roost-contract-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else { throw Failure(text: "mkdtemp: \(errno)") }
    folder = String(cString: made)
  }

  deinit { _ = system("rm -rf '\(folder)'") }

  func write(_ path: String, _ bytes: some Sequence<UInt8>) throws {
    let whole = "\(folder)/\(path)"
    let parent = whole.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(
      separator: "/")
    guard system("mkdir -p '\(parent)'") == 0, let file = fopen(whole, "w") else {
      throw Failure(text: "cannot write \(path)")
    }
    defer { fclose(file) }
    let all = Array(bytes)
    guard fwrite(all, 1, all.count, file) == all.count else { throw Failure(text: "cannot write \(path)") }
  }

  func read(_ path: String) throws -> [UInt8] {
    guard let file = fopen(path.hasPrefix("/") ? path : "\(folder)/\(path)", "r") else {
      throw Failure(text: "no file \(path)")
    }
    defer { fclose(file) }
    var part = [UInt8](repeating: 0, count: 1 << 20)
    return Array(part[0..<fread(&part, 1, part.count, file)])
  }

  /// Whether committed files are to be made again instead of compared.
  static var writesCommitted: Bool { getenv("ROOST_MAKE_PROTOS") != nil }

  func writeRepository(_ path: String, _ bytes: some Sequence<UInt8>) throws {
    try write("made", bytes)
    let whole = "\(repository)/\(path)"
    guard system("mkdir -p \"$(dirname '\(whole)')\" && cp '\(folder)/made' '\(whole)'") == 0 else {
      throw Failure(text: "cannot write \(path)")
    }
  }

  func readRepository(_ path: String) throws -> [UInt8] { try read("\(repository)/\(path)") }

  /// Runs a check; its last line is `ok`, or the whole of what it said is the failure.
  func check(_ name: String) throws {
    // A worktree of the repository has no environment of its own.
    let script = "\(repository)/Tests/ContractTests/Checks/check.py"
    let python =
      access("\(repository)/.venv/bin/python", X_OK) == 0 ? "\(repository)/.venv/bin/python" : "python3"
    guard let pipe = popen("'\(python)' '\(script)' \(name) '\(folder)' 2>&1", "r") else {
      throw Failure(text: "popen: \(errno)")
    }
    var out: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65536)
    while case let count = fread(&part, 1, part.count, pipe), count > 0 { out += part[0..<count] }
    let text = String(decoding: out, as: UTF8.self)
    guard pclose(pipe) == 0, text.hasSuffix("ok\n") else { throw Failure(text: text) }
  }

  struct Failure: Error { var text: String }
}

/// A node with a variable of every type, refined by a checkpoint.
func everything() -> NodeContract {
  let variables = [
    Variable(name: "options", type: .dict), Variable(name: "items", type: .list),
    Variable(name: "count", type: .int), Variable(name: "ratio", type: .float),
    Variable(name: "text", type: .str), Variable(name: "flag", type: .bool),
    Variable(name: "raw", type: .bytes), Variable(name: "when", type: .datetime),
    Variable(name: "matrix", type: .ndarray, dtype: "float32", shape: [2, 2]),
    Variable(name: "größe", type: .any),
    Variable(name: "pixels", type: .ndarray, dtype: "uint8", shape: [3, 1]),
    Variable(
      name: "table", type: .dataFrame,
      columns: [.init(name: "price", dtype: "float64"), .init(name: "name", dtype: "object")]),
    Variable(name: "_hidden", type: .ndarray, dtype: "datetime64[ns]", shape: [3]),
    Variable(name: "a_b", type: .str),
    Variable(name: "aB", type: .image), Variable(name: "message", type: .int),
  ]
  let inputs = Array(variables.prefix(12))
  return NodeContract(
    nodeID: "nod1234567890", nodeName: "my-node", release: 3, inputs: inputs, outputs: variables,
    example: Array(
      #"""
      {"options":{"x":1},"items":[],"count":3,"ratio":1,"text":"","flag":true,"raw":"","when":"2026-11-21T10:00:00Z",
      "matrix":[[1]],"größe":null,"pixels":[[1]],"table":[],"unused":1}
      """#.utf8))
}
