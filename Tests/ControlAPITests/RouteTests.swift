import Domain
import FoundationEssentials
import Testing

@testable import ControlAPI

struct RouteTests {
  private struct Document: Decodable { var paths: [String: [String: Anything]] }
  private struct Anything: Decodable { init(from decoder: any Decoder) {} }

  /// Open endpoints and the data plane, which the route table does not hold.
  private static let elsewhere: Set<String> = [
    "GET /livez", "GET /readyz", "GET /version", "GET /metrics", "GET /metrics/nodes",
    "POST /datasphere/v1/nodes/*:execute",
    "POST /iam/v1/tokens", "GET /endpoints", "GET /endpoints/*", "GET /operations/*",
    "POST /datasphere/v1/aliases/*:execute", "POST /iam/v1/tokens:revoke",
    "POST /iam/v1/tokens:createForServiceAccount", "GET /operations/*:cancel", "POST /operations/*:cancel",
  ]

  private static func documented(_ json: Data) throws -> Set<String> {
    let methods: Set<String> = ["get", "put", "post", "patch", "delete"]
    let paths = try JSONDecoder().decode(Document.self, from: json).paths
    return Set(
      paths.flatMap { path, operations in
        operations.keys.filter { methods.contains($0) }.map { "\($0.uppercased()) \(starred(path))" }
      })
  }

  /// `/v1/nodes/{node}:suspend` → `/v1/nodes/*:suspend`.
  private static func starred(_ path: String) -> String {
    var result = ""
    var isInside = false
    for character in path {
      if character == "{" { isInside = true }
      if !isInside { result.append(character) }
      if character == "}" {
        isInside = false
        result.append("*")
      }
    }
    return result
  }

  private static var routed: Set<String> {
    Set(
      RouteTable.all.map { route in
        "\(route.method) /\(route.pattern.joined(separator: "/"))\(route.verb.map { ":\($0)" } ?? "")"
      })
  }

  @Test func `the document in the repository names exactly the routes that are served`() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let documented = try Self.documented(Data(contentsOf: root.appending(path: "api/openapi.json")))
    #expect(documented.subtracting(Self.elsewhere).subtracting(Self.routed) == [])
    #expect(Self.routed.subtracting(documented) == [])
  }

  @Test func `the document that is served names exactly the routes that are served`() throws {
    let documented = try Self.documented(Data(OpenAPIDocument.text.utf8))
    #expect(documented.subtracting(Self.elsewhere) == Self.routed)
  }

  @Test func `no two routes answer the same method and path`() {
    #expect(Self.routed.count == RouteTable.all.count)
  }

  @Test func `a route captures the segments of its stars in order`() throws {
    let target = try Target("/v1/projects/p1/blobs/d1")
    let route = try #require(RouteTable.all.first { $0.method == "PUT" && $0.matches(target) })
    #expect(route.captures(target) == ["p1", "d1"])
    #expect(try !route.matches(Target("/v1/projects/p1/blobs/d1:missing")))
    #expect(try !route.matches(Target("/v1/projects/p1/blobs")))
  }
}
