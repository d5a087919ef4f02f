import Domain
import DriverAPI
import FoundationEssentials
import HTTPModel
import HTTPTransport
import Sandboxing

/// Asks one Triton. Every call blocks its thread.
struct TritonClient: Sendable {
  let address: String
  let key: String

  init(_ handle: InstanceHandle, key: String) {
    address = handle.endpoint.address
    self.key = key
  }

  enum Trouble: Error {
    /// Nothing answers.
    case silent(String)
    case timedOut
    /// What Triton says.
    case refused(String)
    /// A model whose process died can't be loaded anew: only a new instance helps.
    case lost(String)

    var isDeadStub: Bool {
      if case .refused(let text) = self { return text.contains("is not healthy") }
      return false
    }

    /// Waiting for better answers is of no use.
    var isFinal: Bool {
      if case .lost = self { return true }
      return isDeadStub
    }

    var text: String {
      switch self {
      case .silent(let text), .refused(let text), .lost(let text): text
      case .timedOut: "no answer in time"
      }
    }
  }

  private func send(
    _ method: String, _ path: String, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
    timeout: Duration
  ) throws(Trouble) -> [UInt8] {
    guard let client = HTTPClient(address: address, connectTimeout: .seconds(2), timeout: timeout) else {
      throw .silent("\(address) is no address")
    }
    let response: HTTPResponse
    do throws(HTTPClientError) {
      response = try client.send(HTTPRequest(method: method, target: path, headers: headers, body: body))
    } catch {
      throw error.kind == .timeout ? .timedOut : .silent(error.message)
    }
    guard response.status == 200 else { throw .refused(Self.message(response)) }
    return response.body
  }

  private static func message(_ response: HTTPResponse) -> String {
    struct Problem: Decodable { var error: String }
    let problem = try? JSONDecoder().decode(Problem.self, from: Data(response.body))
    return problem?.error ?? "answered \(response.status)"
  }

  func isLive() -> Bool {
    (try? send("GET", "/v2/health/live", timeout: .seconds(2))) != nil
  }

  /// Loads a model.
  func load(_ model: String, timeout: Duration) throws(Trouble) {
    _ = try send(
      "POST", "/v2/repository/models/\(model)/load", headers: [(name: "roost-model-key", value: key)],
      timeout: timeout)
  }

  /// Loads a model anew. Files that did not change would not be loaded by `load` alone.
  func reload(_ model: ModelPlan.Model, timeout: Duration) throws(Trouble) {
    let names = model.aliases + [model.name]
    for name in names {
      _ = try send(
        "POST", "/v2/repository/models/\(name)/unload", headers: [(name: "roost-model-key", value: key)],
        timeout: .seconds(30))
    }
    for name in names.reversed() { try load(name, timeout: timeout) }
  }

  /// How many requests a version of a model has answered, well or not, since it was loaded.
  func answers(_ model: ModelPlan.Model, _ version: Int) throws(Trouble) -> Int {
    struct Statistics: Decodable {
      struct Model: Decodable {
        struct Inferences: Decodable {
          struct Sum: Decodable { var count: Int }
          var success: Sum
          var fail: Sum
        }
        var inferenceStats: Inferences
      }
      var modelStats: [Model]
    }
    let body = try send("GET", "/v2/models/\(model.name)/versions/\(version)/stats", timeout: .seconds(5))
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    guard let told = try? decoder.decode(Statistics.self, from: Data(body)) else {
      throw .refused("what Triton counts of model '\(model.name)' can't be read")
    }
    return told.modelStats.reduce(0) {
      $0 + $1.inferenceStats.success.count + $1.inferenceStats.fail.count
    }
  }

  /// The smallest request that the signature allows.
  func ask(
    _ model: ModelPlan.Model, _ version: Int, in repository: String, timeout: Duration
  ) throws(Trouble) {
    let path = "/v2/models/\(model.name)/versions/\(version)"
    guard let file = model.canary.file, let length = model.canary.headerLength,
      let body = Files.read("\(repository)/\(file)")
    else {
      _ = try send("GET", "\(path)/ready", timeout: timeout)
      return
    }
    _ = try send(
      "POST", "\(path)/infer",
      headers: [
        (name: "inference-header-content-length", value: "\(length)"),
        (name: "content-type", value: "application/octet-stream"),
      ], body: body, timeout: timeout)
  }
}
