"""The parameters of every kernel, in order: the one table that the CPU and the GPU launch from.

`r*` and `i*` are arrays of reals and of 32-bit integers, `k*` of 64-bit keys, `b*` of bytes, and `d*` of float64
whatever the real type; `r` and `i` are scalars.
"""

_TABLE = """
kinematics_forward              angles r* rotation r* translation r* scale r* parents i* articulated i* bind r*
                                transforms r* side i bind_stride i B i J i A i
kinematics_backward             grad_transforms r* angles r* rotation r* scale r* parents i* articulated i* bind r*
                                scratch r* grad_angles r* grad_rotation r* grad_translation r* grad_scale r* side i
                                bind_stride i B i J i A i
skin_forward                    transforms r* rest r* indices i* weights r* posed r* rest_stride i B i J i V i K i
skin_backward                   grad_posed r* transforms r* rest r* indices i* weights r* grad_transforms r*
                                grad_rest_images r* with_rest i rest_stride i B i J i V i K i
skin_normals                    transforms r* rest_normals r* indices i* weights r* normals r* B i J i V i K i
blend_shapes                    base r* basis r* coefficients r* out r* B i S i N i
sum_over_batch                  parts r* total r* B i N i
project_forward                 points r* coefficients r* projected r* perspective i B i V i
project_backward                grad_projected r* points r* coefficients r* grad_points r* perspective i B i V i
splat_forward                   points r* image r* winners i* radius r B i V i S i
splat_scatter                   points r* keys k* radius r B i V i S i
splat_resolve                   points r* keys k* image r* winners i* radius r B i V i S i
splat_backward                  grad_image r* points r* winners i* grad_points r* radius r B i V i S i
collision_forward               joints r* bones i* loss r* radius r B i M i N i
collision_backward              grad_loss r* joints r* bones i* grad_joints r* radius r fixed_length i B i M i N i
collision_normal_equations      grad_loss r* joints r* bones i* vertex_normal_equations r* radius r B i M i N i
joint_limits_forward            angles r* lower r* upper r* loss r* B i D i
joint_limits_backward           grad_loss r* angles r* lower r* upper r* grad_angles r* B i D i
depth_loss_forward              image r* target r* weight r* index i* loss r* delta r B i S i weighted i
depth_loss_backward             grad_loss r* image r* target r* weight r* index i* grad_image r* delta r B i S i
                                weighted i
splat_loss                      grad_loss r* points r* target r* weight r* index i* scratch_image r*
                                scratch_winners i* scratch_sums r* loss r* grad_points r* radius r delta r B i V i S i
                                weighted i
hand_image_loss                 grad_loss r* transforms r* rest r* indices i* weights r* coefficients r* target r*
                                pixel_weight r* index i* joint_rest r* joint_indices i* bones i* loss r*
                                grad_transforms r* grad_rest_images r* radius r delta r collision_radius r
                                collision_weight r fixed_length i perspective i weighted i with_rest i B i J i V i K i
                                S i M i N i
silhouette_forward              points r* field r* index i* mm_per_px r* loss r* B i V i S i
silhouette_backward             grad_loss r* points r* field r* index i* mm_per_px r* grad_points r* B i V i S i
closest_points_search           observed r* index i* posed r* normals r* scratch_points r* scratch_numbers i*
                                nearest i* B i N i V i
closest_points_search_grid      observed r* index i* posed r* normals r* nearest i* B i N i V i
closest_points_forward          observed r* index i* posed r* normals r* nearest i* loss r* sigma r plane r B i N i
                                V i
closest_points_backward         grad_loss r* observed r* index i* posed r* normals r* nearest i* grad_posed r* sigma r
                                plane r B i N i V i
closest_points_normal_equations grad_loss r* observed r* index i* posed r* normals r* nearest i*
                                vertex_normal_equations r* sigma r plane r B i N i V i
free_space_forward              posed r* index i* coefficients r* field r* nearest_depth r* mm_per_px r* loss r*
                                sigma r front r margin r B i V i S i
free_space_normal_equations     grad_loss r* posed r* index i* coefficients r* field r* nearest_depth r* mm_per_px r*
                                vertex_normal_equations r* sigma r front r margin r B i V i S i
pose_axes                       angles r* transforms r* scale r* parents i* articulated i* bind r* joint_basis r*
                                axes r* joint_positions r* bind_jacobian r* side i bind_stride i B i J i A i S i
normal_equations                vertex_normal_equations r* posed r* transforms r* translation r* rest r* indices i*
                                weights r* ancestry i* columns i* axes r* joint_positions r* vertex_basis r*
                                bind_jacobian r* scratch r* hessian r* gradient r* rest_stride i B i J i V i K i D i
                                A i S i P i
normal_equations_grid           vertex_normal_equations r* posed r* transforms r* translation r* rest r* indices i*
                                weights r* ancestry i* columns i* axes r* joint_positions r* vertex_basis r*
                                bind_jacobian r* hessian r* gradient r* rest_stride i B i J i V i K i D i A i S i P i
solve_damped                    hessian r* gradient r* damping r* free r* factor r* step r* B i P i
solve_panel                     hessian r* gradient r* damping r* free r* factor r* step r* first i B i P i Q i
move_poses                      from_angles r* from_rotation r* from_translation r* from_scale r*
                                from_proportions r* step r* columns i* articulated i* ancestry i* bind r*
                                joint_basis r* angles r* rotation r* translation r* scale r* proportions r*
                                shaped_bind r* transforms r* found_terms r* turn r shift r relative r
                                smallest_scale r largest_scale r proportion r moves i from i to i B i J i A i D i
                                S i P i
pose_points                     angles r* rotation r* translation r* scale r* proportions r* shaped_bind r*
                                transforms r* rest r* basis r* indices i* weights r* rest_normals r* parents i*
                                articulated i* joint_basis r* index i* coefficients r* field r* nearest_depth r*
                                mm_per_px r* votes r* expected r* precision r* followers i* shape_mean r*
                                shape_precision r* temporal_pose r* temporal_weight r* temporal_width r* lower r*
                                upper r* columns i* posed r* shaped_rest r* normals r* equations r* axes r*
                                joint_positions r* bind_jacobian r* found_terms r* found_hessian r* found_gradient r*
                                silhouette_weight r free_space r front r margin r limits_weight r votes_weight r
                                prior_weight r follow_share r follow_precision r size_weight r proportion_weight r
                                has_shape i has_temporal i derivatives i to i B i J i U i V i K i A i S i P i F i W i
compare_points                  observed r* index i* posed r* normals r* bones i* equations r* found_terms r*
                                points_weight r sigma r plane r collision_weight r radius r derivatives i B i O i
                                U i V i N i
keep_lower                      angles r* rotation r* translation r* scale r* proportions r* terms r*
                                found_terms r* found_hessian r* found_gradient r* hessian r* gradient r* damping r*
                                improved i* first_damping r lowest_damping r highest_damping r accepted r refused r
                                moves i derivatives i to i B i A i S i P i
minimise_poses                  trace_angles r* trace_rotation r* trace_translation r* trace_scale r*
                                trace_proportions r* terms r* index i* expected r* free r* bind r* rest r* keypoints r*
                                parents i* articulated i* rest_normals r* indices i* weights r* keypoint_joints i*
                                ones r* bones i* lower r* upper r* observed r* coefficients r* field r*
                                nearest_depth r* mm_per_px r* joint_basis r* vertex_basis r* keypoint_basis r*
                                ancestry i* columns i* votes r* precision r* followers i* shape_mean r*
                                shape_precision r* temporal_pose r* temporal_weight r* temporal_width r* improved i*
                                hessian r* gradient r* scratch r* scratch_numbers i* points_weight r sigma r plane r
                                silhouette_weight r free_space r front r margin r collision_weight r radius r
                                limits_weight r votes_weight r prior_weight r follow_share r follow_precision r
                                size_weight r proportion_weight r first_damping r lowest_damping r highest_damping r
                                accepted r refused r turn r shift r relative r smallest_scale r largest_scale r
                                proportion r has_shape i has_temporal i iterations i linearised i rows i threads i
                                scratch_size i numbers_size i B i J i V i K i A i M i N i O i W i D i S i P i F i
copy_arrays                     real_0 r* real_1 r* real_2 r* real_3 r* real_4 r* real_5 r* real_6 r* real_7 r*
                                real_8 r* real_9 r* real_10 r* real_11 r* real_12 r* real_13 r* real_14 r* real_15 r*
                                real_16 r* real_17 r* real_18 r* real_19 r* real_20 r* real_21 r* real_22 r* real_23 r*
                                real_24 r* real_25 r* real_26 r* whole_0 i* whole_1 i* whole_2 i* whole_3 i* whole_4 i*
                                whole_5 i* whole_6 i* whole_7 i* reals r* wholes i* reals_0 i reals_1 i reals_2 i
                                reals_3 i reals_4 i reals_5 i reals_6 i reals_7 i reals_8 i reals_9 i reals_10 i
                                reals_11 i reals_12 i reals_13 i reals_14 i reals_15 i reals_16 i reals_17 i reals_18 i
                                reals_19 i reals_20 i reals_21 i reals_22 i reals_23 i reals_24 i reals_25 i reals_26 i
                                wholes_0 i wholes_1 i wholes_2 i wholes_3 i wholes_4 i wholes_5 i wholes_6 i wholes_7 i
rasterise_forward               points r* faces i* depth r* fx r fy r cx r cy r B i V i F i W i H i
rasterise_faces                 points r* faces i* depth r* nearest_face i* fx r fy r cx r cy r B i V i F i W i H i
rasterise_weights               points r* faces i* nearest_face i* weights r* fx r fy r cx r cy r B i V i F i W i H i
drop_flying                     depth r* steps r* scratch r* min_support i H i W i
label_surfaces                  steps r* scratch i* labels i* max_gap i H i W i
label_areas                     depth r* labels i* sums d* count i
plane_pixels                    depth r* left b* plane r* inside b* thickness r noise r H i W i
going_with                      depth r* low r* high r* others r* v i* u i* going b* step r top i left i rows i
                                columns i W i w i
extreme_filter                  image r* scratch r* out r* size i largest i H i W i
distance_transform              real r* mask b* scratch i* distance d* border i H i W i
label_regions                   real r* mask b* scratch i* labels i* count i* H i W i
fill_regions                    real r* mask b* scratch i* filled b* most i H i W i
hand_creases                    depth r* hand b* smooth r* weight r* sums d* creases b* least r step i aslant i H i
                                W i
nearest_outside                 real r* mask b* scratch i* nearest i* distance d* H i W i
resample_cells                  depth r* hand b* arm b* ignored b* v i* u i* median r* other r* count i* flags b*
                                has_ignored i S i k i W i
mirror_columns                  real r* image b* mirrored b* bytes i H i W i
convolve                        padded r* weight r* bias r* added r* out r* has_added i positive i threads i size i
                                stride i B i H i W i C i N i h i w i
unexplained_pixels              depth r* behind r* observed r* hand b* free b* evidence r* scratch r* wrong d*
                                whole d* wrong_mm r has_behind i has_evidence i step i K i h i w i W i
divide_limb                     points r* covered b* at_border b* cm2 d* hand r* tube r* scratch r* arm b* left b*
                                fingers_side b* to_palm r* reach r bend r near_wrist r at_wrist r axis_reach r
                                least_cm2 r before r entry r N i
limb_areas                      seen r* pixels i* points r* cm2 d* counted_cm2 d* left b* to_palm r* mask b*
                                nothing b* depth r* areas d* wrong_mm r finger_reach r behind_mm r N i h i w i
clear_unseen                    depth r* n i
same_poses                      joints r* images i* same b* most_mm r B i N i
"""


def _parse(table: str) -> dict[str, tuple[tuple[str, str], ...]]:
    signatures: dict[str, tuple[tuple[str, str], ...]] = {}
    name = ""
    for line in table.strip().splitlines():
        words = line.split()
        if not line.startswith(" "):
            name, words = words[0], words[1:]
            signatures[name] = ()
        signatures[name] += tuple(zip(words[::2], words[1::2], strict=True))
    return signatures


SIGNATURES = _parse(_TABLE)
