import Glibc
import Testing
import Wire

/// The repository's folder.
private var repository: String {
  "/" + "\(#filePath)".split(separator: "/").dropLast(3).joined(separator: "/")
}

/// The bytes of a file of the repository.
func contents(_ path: String) throws -> [UInt8] {
  guard let file = fopen(path.hasPrefix("/") ? path : "\(repository)/\(path)", "r") else {
    throw MissingFile(path: path)
  }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var part = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = fread(&part, 1, part.count, file)
    guard count > 0 else { return bytes }
    bytes += part[0..<count]
  }
}

struct MissingFile: Error { var path: String }

/// Files of one committed corpus with their names.
func corpus(_ name: String) throws -> [(name: String, bytes: [UInt8])] {
  let folder = "\(repository)/Fuzz/corpora/\(name)"
  guard let directory = opendir(folder) else { return [] }
  defer { closedir(directory) }
  var files: [(name: String, bytes: [UInt8])] = []
  while let entry = readdir(directory) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    guard !name.hasPrefix(".") else { continue }
    files.append((name, try contents("\(folder)/\(name)")))
  }
  return files.sorted { $0.name < $1.name }
}

@Suite struct CorpusTests {
  @Test func `the corpora hold what the fuzzers demand`() throws {
    for (name, run) in [
      ("http1", FuzzProperties.http1), ("json", FuzzProperties.json), ("frames", FuzzProperties.frames),
      ("protobuf", FuzzProperties.protobuf), ("grpc", FuzzProperties.grpc),
      ("network", FuzzProperties.network), ("exposition", FuzzProperties.exposition),
      ("pattern", FuzzProperties.pattern),
    ] as [(String, ([UInt8]) -> Void)] {
      let files = try corpus(name)
      #expect(files.count >= 5, "the corpus \(name) is missing")
      for file in files {
        for cut in 0...min(file.bytes.count, 512) { run(Array(file.bytes[0..<cut])) }
        run(file.bytes)
      }
    }
  }

  @Test func `http_parser accepts every head of the corpus that is accepted here`() throws {
    var both = 0
    for file in try corpus("http1") {
      guard let head = (try? parseHead(file.bytes)) ?? nil else { continue }
      // Methods that http_parser does not know are the one thing it is stricter in.
      #expect(oracleAccepts(Array(file.bytes[0..<Int(head.length)])), "\(file.name)")
      both += 1
    }
    #expect(both >= 3)
  }
}
