#!/usr/bin/env bash
# Bundle the parts of three.js that the viewer uses into assets/three/three.min.js, one script that works without a network.
# Needs npm. Usage: scripts/assets/bundle_three.sh
set -euo pipefail
target=$(cd "$(dirname "$0")/../../assets/three" && pwd)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT && cd "$work"
echo '{"private": true}' > package.json
npm install --no-audit --no-fund three@0.187.0 esbuild@0.28.2
cat > entry.js <<'END'
export {
  AmbientLight, AnimationMixer, Box3, BufferAttribute, BufferGeometry, Color, DirectionalLight, DoubleSide, FrontSide, Group,
  HemisphereLight, InstancedMesh, LineBasicMaterial, LineSegments, Matrix4, Mesh, MeshBasicMaterial, MeshStandardMaterial,
  PerspectiveCamera, Points, PointsMaterial, Scene, SphereGeometry, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
END
npx esbuild entry.js --bundle --minify --format=iife --global-name=THREE --legal-comments=none --charset=ascii \
  --outfile="$target/three.min.js"
{ echo "# Licence of three.js"; echo; echo "three.min.js in this folder is a bundle of parts of three.js 0.187.0 (npm package three)."; echo
  cat node_modules/three/LICENSE; } > "$target/LICENSE.md"
